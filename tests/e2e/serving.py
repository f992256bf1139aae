"""A `cloze serve` process for tests: starts it on a free port and reads what it prints."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request


class Server:
    def __init__(self, program, *arguments, env=None):
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [program, "serve", *map(str, arguments), "--port", "0"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.log = []
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        self.banner = self._read_banner()
        self.url = re.search(r"served at (http://\S+)", self.banner).group(1)
        self.port = int(self.url.rsplit(":", 1)[1])

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def _read_banner(self):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("  curl"):
                return "".join(lines)
        self.process.wait()
        self.reader.join()
        raise AssertionError("cloze serve ended: " + "".join(lines) + "".join(self.log))

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError("cloze serve ended: " + "".join(self.log))
            if self.get("/readyz")[0] == 200:
                self.ready_after = time.monotonic() - self.started
                return self
        raise AssertionError("not ready in time")

    def request(self, method, path, body=None, headers=None, timeout=120):
        """(status, headers, body) whatever the status is."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers=headers or {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body=None, **options):
        return self.request("POST", path, {} if body is None else body, **options)

    def send_raw(self, path, body):
        """A connected socket with a call under way."""
        text = json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" %
                           (path.encode(), len(text), text))
        return connection

    def metric(self, name):
        text = self.get("/metrics")[2].decode()
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))

    def wait_metric(self, name, wanted, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.metric(name) == wanted:
                return True
            time.sleep(0.01)
        return False

    def stop(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.reader.join(timeout=5)
        return code


@contextlib.contextmanager
def serving(program, *arguments, env=None):
    server = Server(program, *arguments, env=env)
    try:
        yield server.wait_ready()
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            try:
                server.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
