"""Amazon S3 as moto has it, on PORT, with what moto lacks.

Answers get lost: after GET /_lose?N every N-th PUT is carried out and answered 503. And keys that a catalog has lent hold for a while and for one
folder: `lent.END-IN-MS.rw.FOLDER`, where FOLDER is `bucket/path` as base64 of URLs, and `r` in place of `rw` may only read.
"""

import base64
import io
import re
import sys
import threading
import time
import urllib.parse

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple


class Lossy:
    def __init__(self, application):
        self.application = application
        self.lock = threading.Lock()
        self.every = 0
        self.puts = 0

    def is_lost(self, environ):
        with self.lock:
            if not self.every or environ["REQUEST_METHOD"] != "PUT":
                return False
            self.puts += 1
            return self.puts % self.every == 0

    def objection(self, environ):
        """Why the key of a request does not allow it."""
        key = re.search(r"Credential=lent\.(\d+)\.(rw?)\.([\w=-]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if not key:
            return None
        if int(key[1]) < time.time() * 1000:
            return "ExpiredToken"
        if not environ.get("HTTP_X_AMZ_SECURITY_TOKEN"):
            return "InvalidToken"
        query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        bucket, _, path = environ["PATH_INFO"].lstrip("/").partition("/")
        reads, paths = environ["REQUEST_METHOD"] in ("GET", "HEAD"), [path]
        if "delete" in query:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            paths = re.findall(r"<Key>(.*?)</Key>", body.decode())
        elif not path:
            paths = [query.get("prefix", "")]
        folder = base64.urlsafe_b64decode(key[3]).decode() + "/"
        is_allowed = (reads or key[2] == "rw") and all(f"{bucket}/{path}/".startswith(folder) for path in paths)
        return None if is_allowed else "AccessDenied"

    def __call__(self, environ, start_response):
        if objection := self.objection(environ):
            start_response("400 Bad Request" if objection == "ExpiredToken" else "403 Forbidden", [("Content-Type", "application/xml")])
            return [f"<Error><Code>{objection}</Code><Message>{environ['PATH_INFO']}</Message></Error>".encode()]
        if environ["PATH_INFO"] == "/_lose":
            self.every = int(environ["QUERY_STRING"])
            start_response("200 OK", [])
            return [b""]
        if not self.is_lost(environ):
            return self.application(environ, start_response)
        for _ in self.application(environ, lambda status, headers, exc_info=None: lambda data: None):
            pass
        start_response("503 Slow Down", [])
        return [b""]


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


run_simple("127.0.0.1", int(sys.argv[1]), Lossy(DomainDispatcherApplication(create_backend_app)), threaded=True, request_handler=Quiet)
