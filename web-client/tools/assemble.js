/**
 * Puts together what a server needs beside the bundles: index.html with the hashed names, the files of public/, and
 * assets.json, which tells the server how to serve each file.
 *
 * Usage: node tools/assemble.js DIST, from web-client, after esbuild wrote its bundles to DIST/assets.
 *
 * assets.json:
 *   documentHeaders   to be sent with every text/html answer
 *   assets            path (as requested), file (below DIST), type (Content-Type), bytes, gzip (whether a gzip variant
 *                     is worth keeping), cache:
 *                       immutable   the name holds a hash of the content:
 *                                   Cache-Control: public, max-age=31536000, immutable
 *                       short       the name stays: Cache-Control: public, max-age=300, with an ETag
 */
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
};

const DOCUMENT_HEADERS = {
    "Content-Security-Policy": [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ].join("; "),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
};

/** A gzip variant costs memory and a Vary; it must save a tenth and at least a packet. */
function isWorthGzip(bytes) {
    const saved = bytes.length - gzipSync(bytes, { level: 9 }).length;
    return saved > 1400 && saved > bytes.length / 10;
}

const dist = process.argv[2];
const built = readdirSync(join(dist, "assets"));

function hashed(name, extension) {
    const fits = built.filter((file) => file.startsWith(`${name}-`) && file.endsWith(extension));
    if (fits.length !== 1) throw new Error(`${dist}/assets has ${fits.length} files ${name}-*${extension}, not one`);
    return `/assets/${fits[0]}`;
}

const names = { style: hashed("style", ".css"), theme: hashed("theme", ".js"), main: hashed("main", ".js") };
const html = readFileSync("src/index.html", "utf8").replace(/{{(\w+)}}/g, (_, name) => {
    if (!names[name]) throw new Error(`src/index.html asks for {{${name}}}, which is not built`);
    return names[name];
});
writeFileSync(join(dist, "index.html"), html);
const publicFiles = readdirSync("public");
for (const file of publicFiles) copyFileSync(join("public", file), join(dist, file));

function asset(path, file, cache) {
    const bytes = readFileSync(join(dist, file));
    const type = TYPES[extname(file)];
    if (!type) throw new Error(`${basename(file)}: no content type is known for ${extname(file)}`);
    return { path, file, type, bytes: bytes.length, gzip: isWorthGzip(bytes), cache };
}

const assets = [
    asset("/", "index.html", "short"),
    ...publicFiles.map((file) => asset(`/${file}`, file, "short")),
    ...built.map((file) => asset(`/assets/${file}`, `assets/${file}`, "immutable")),
];
writeFileSync(join(dist, "assets.json"), JSON.stringify({ documentHeaders: DOCUMENT_HEADERS, assets }, null, 4) + "\n");
