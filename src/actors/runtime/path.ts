/** The path of a child: names joined by `/`; the root's path is empty and is no part of its children's. Never throws. */
export const joinPath = (parent: string, name: string): string => (parent === '' ? name : `${parent}/${name}`);

/** The path of the parent; the root is its own. Never throws. */
export const parentPath = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
