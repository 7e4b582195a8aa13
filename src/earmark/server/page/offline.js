// A service worker that keeps an exported page on the visitor's machine, once asked, so that it works without a
// network. An export is kept whole, under a name of its own: a page never gets files of two. VERSION and FILES are
// written by the export.

importScripts("./offline_files.js");

const OURS = `earmark ${registration.scope} `;
const NAME = OURS + VERSION;

addEventListener("install", (event) => {
  const fresh = (file) => new Request(file, { cache: "reload" });
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(["./", ...FILES].map(fresh))));
});

addEventListener("activate", (event) => {
  const drop = (names) =>
    Promise.all(names.filter((name) => name.startsWith(OURS) && name !== NAME).map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(drop));
});

addEventListener("fetch", (event) => {
  const kept = caches.open(NAME).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  event.respondWith(kept.then((answer) => answer ?? fetch(event.request)));
});
