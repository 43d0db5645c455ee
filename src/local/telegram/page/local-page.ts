/** The page at `/local` until the chat page is built; it holds nothing that is made of anyone's input. */
export const CHAT_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Local Telegram</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}:root{color-scheme:light dark}</style>
<h1>Local Telegram</h1>
<p>This is a stand-in for Telegram. Bots talk to it by the Bot API at <code>/bot&lt;token&gt;/&lt;method&gt;</code>.</p>
<p>The page to chat on comes later. Until then people are driven by requests: <code>POST /local/people</code>,
<code>POST /local/messages</code>, <code>GET /local/messages</code>; <code>GET /local/bots</code> lists the bots and
<code>GET /local/stats</code> the figures.</p>
</html>
`;
