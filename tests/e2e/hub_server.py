"""A Hugging Face Hub in miniature: the listing, downloads by redirect to another origin, ranges,
refusals, and connections that break."""
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        hub = self.server.hub
        path = urllib.parse.unquote(self.path)
        hub.requests.append((self.server.role, path, dict(self.headers)))
        if self.server.role == "cdn":
            return self.send_file(hub.files[path.split("/", 2)[2]])
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.refuse(401, "GatedRepo" if hub.gated else "RepoNotFound")
        if path.startswith("/api/models/"):
            return self.send_listing(path)
        name = path.split(f"/resolve/{COMMIT}/", 1)[1]
        if hub.redirect:
            return self.answer(302, b"", Location=f"{hub.cdn_address}/cdn/{name}")
        return self.send_file(hub.files[name])

    def send_listing(self, path):
        hub = self.server.hub
        if not path.startswith(f"/api/models/{hub.id}/revision/"):
            return self.refuse(404, "RepoNotFound")
        if path.split("?")[0].rsplit("/", 1)[1] not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        siblings = []
        for name, data in hub.files.items():
            item = {"rfilename": name, "size": len(data)}
            if name.endswith((".safetensors", ".gguf", ".bin")):
                item["lfs"] = {"sha256": hub.announced.get(name, hashlib.sha256(data).hexdigest()),
                               "size": len(data)}
            else:
                blob = b"blob %d\0" % len(data) + data
                item["blobId"] = hashlib.sha1(blob).hexdigest()
            siblings.append(item)
        body = json.dumps({"id": hub.id, "sha": COMMIT, "siblings": siblings}).encode()
        self.answer(200, body)

    def refuse(self, code, error):
        self.answer(code, b'{"error":"no"}', **{"X-Error-Code": error})

    def answer(self, code, body, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, data):
        hub = self.server.hub
        start = 0
        requested = self.headers.get("Range")
        if requested and hub.ranges:
            start = int(requested.removeprefix("bytes=").split("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        rest = data[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if hub.cuts and len(rest) > 1000:
            hub.cuts -= 1
            self.wfile.write(rest[:len(rest) // 2])
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
            return
        self.wfile.write(rest)


class Hub:
    def __init__(self, id, files):
        self.id, self.files = id, files
        self.requests, self.announced = [], {}
        self.token = None
        self.gated = False
        self.redirect = self.ranges = True
        self.cuts = 0

    def paths(self, role):
        return [path for where, path, _ in self.requests if where == role]


@contextlib.contextmanager
def serve(id, files):
    """Two servers on two ports: the hub and, where its redirects lead, another origin."""
    hub = Hub(id, files)
    servers = []
    for role in ("hub", "cdn"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.hub, server.role, server.daemon_threads = hub, role, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    hub.address, hub.cdn_address = [f"http://127.0.0.1:{s.server_port}" for s in servers]
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
