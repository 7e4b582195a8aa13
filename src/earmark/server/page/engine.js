// Who tags: the server that the page comes from. `earmark export --web` writes the other name here.
export * from "./engine_server.js";
