console.log("x");

export {};
