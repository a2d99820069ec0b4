"""Google Cloud Storage's XML API on PORT, as far as a lake needs it, with generation preconditions that really exclude each other.

PUT, GET with ranges, HEAD, DELETE, lists in pages, multipart uploads. After GET /_lose?N every N-th PUT is carried out and answered 503.
"""

import hashlib
import sys
import threading
import time
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

# Small, so that every test turns pages.
PAGE = 25

lock = threading.Lock()
objects = {}
uploads = {}
counters = {"generation": 0, "upload": 0, "puts": 0, "lose_every": 0}


class Storage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def received(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return bucket, key, query, body

    def put(self, key, body):
        """Stores an object, if the precondition holds."""
        with lock:
            wanted = self.headers.get("x-goog-if-generation-match")
            found = objects[key]["generation"] if key in objects else 0
            if wanted is not None and int(wanted) != found:
                return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            counters["generation"] += 1
            etag = '"' + hashlib.md5(body).hexdigest() + '"'
            objects[key] = {"body": body, "generation": counters["generation"], "etag": etag, "at": time.time()}
            counters["puts"] += 1
            is_lost = counters["lose_every"] and counters["puts"] % counters["lose_every"] == 0
        if is_lost:
            return self.answer(503, b"<Error><Code>ServiceUnavailable</Code></Error>")
        return self.answer(200, headers=[("ETag", etag), ("x-goog-generation", str(objects[key]["generation"]))])

    def do_PUT(self):
        _, key, query, body = self.received()
        if "partNumber" not in query:
            return self.put(key, body)
        with lock:
            uploads[query["uploadId"]][int(query["partNumber"])] = body
        return self.answer(200, headers=[("ETag", '"' + hashlib.md5(body).hexdigest() + '"')])

    def do_POST(self):
        _, key, query, _ = self.received()
        if "uploads" in query:
            with lock:
                counters["upload"] += 1
                upload = str(counters["upload"])
                uploads[upload] = {}
            return self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode())
        with lock:
            parts = uploads.pop(query["uploadId"])
            body = b"".join(parts[number] for number in sorted(parts))
            counters["generation"] += 1
            etag = '"' + hashlib.md5(body).hexdigest() + '"'
            objects[key] = {"body": body, "generation": counters["generation"], "etag": etag, "at": time.time()}
        answer = f"<CompleteMultipartUploadResult><ETag>{escape(etag)}</ETag></CompleteMultipartUploadResult>"
        return self.answer(200, answer.encode(), [("x-goog-generation", str(counters["generation"]))])

    def do_DELETE(self):
        _, key, query, _ = self.received()
        with lock:
            if "uploadId" in query:
                uploads.pop(query["uploadId"], None)
                return self.answer(204)
            found = objects.pop(key, None)
        return self.answer(204 if found else 404)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        _, key, query, _ = self.received()
        if self.path.startswith("/_lose"):
            counters["lose_every"] = int(self.path.partition("?")[2])
            return self.answer(200)
        if not key:
            return self.list(query)
        with lock:
            found = objects.get(key)
        if found is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        body, status, headers = found["body"], 200, []
        wanted = self.headers.get("Range")
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            first, last = (int(first), int(last or len(body) - 1)) if first else (max(0, len(body) - int(last)), len(body) - 1)
            headers.append(("Content-Range", f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}"))
            body, status = body[first : last + 1], 206
        headers += [("ETag", found["etag"]), ("x-goog-generation", str(found["generation"])), ("Last-Modified", formatdate(found["at"], usegmt=True))]
        return self.answer(status, body, headers + [("Content-Length", str(len(body)))])

    def list(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        contents, folders, last, is_truncated = [], [], "", False
        with lock:
            for key in sorted(objects):
                if not key.startswith(prefix) or key <= after or (delimiter and after.endswith(delimiter) and key.startswith(after)):
                    continue
                if len(contents) + len(folders) == PAGE:
                    is_truncated = True
                    break
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                if end >= 0:
                    folder = key[: end + 1]
                    if folder not in folders:
                        folders.append(folder)
                    last = after = folder
                    continue
                found = objects[key]
                at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(found["at"]))
                contents.append(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>{at}</LastModified>"
                    f"<ETag>{escape(found['etag'])}</ETag><Size>{len(found['body'])}</Size></Contents>"
                )
                last = key
        more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if is_truncated else ""
        common = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders)
        is_more = "true" if is_truncated else "false"
        self.answer(200, f"<ListBucketResult><IsTruncated>{is_more}</IsTruncated>{more}{''.join(contents)}{common}</ListBucketResult>".encode())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Storage).serve_forever()
