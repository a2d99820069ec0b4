"""Amazon S3 as moto has it, on PORT, with answers that get lost: after GET /_lose?N every N-th PUT is carried out and answered 503."""

import sys
import threading

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

    def __call__(self, environ, start_response):
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
