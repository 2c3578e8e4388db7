"""A server on the loopback that answers as the Hugging Face Hub does, for one repository."""

import base64
import contextlib
import hashlib
import http.server
import json
import re

from loopback import listening


class Hub:
    """Its commits: dict from path to content, the oldest first; and the requests so far.

    `claims` is the number of bytes by which files are longer by their headers than they are,
    `etag` one that files have in place of their hash, and `ignores` a file that its .gitignore
    excludes.
    """

    def __init__(self, repository):
        self.repository, self.commits, self.requests = repository, [], []
        self.is_made = self.is_private = False
        self.claims, self.etag, self.ignores = 0, None, None

    def sha(self, number):
        return hashlib.sha1(str(number).encode()).hexdigest()

    def at(self, revision):
        """Return (sha, files) of a revision: "main", or the sha of a commit."""
        shas = [self.sha(number) for number in range(len(self.commits))]
        if revision == "main" and shas:
            return shas[-1], self.commits[-1]
        return revision, self.commits[shas.index(revision)] if revision in shas else None


@contextlib.contextmanager
def serving(repository):
    """Yield (endpoint, the `Hub`)."""
    hub = Hub(repository)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            hub.requests.append((self.command, self.path))
            path = self.path.partition("?")[0]
            if found := re.fullmatch(rf"/{hub.repository}/resolve/([^/]+)/(.+)", path):
                return self.send_file(*found.groups())
            if path == f"/api/models/{hub.repository}/tree/main" and hub.is_made:
                files = hub.commits[-1] if hub.commits else {}
                entries = {"type": "file", "oid": "0", "size": 1}
                return self.send([entries | {"path": name} for name in files])
            return self.send({"error": "Repository not found"}, 404, "RepoNotFound")

        do_HEAD = do_GET

        def do_POST(self):
            hub.requests.append((self.command, self.path))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/api/repos/create":
                hub.is_made, wanted = True, json.loads(body)
                # Its name in older and in newer releases of the library.
                hub.is_private = wanted.get("private") or wanted.get("visibility") == "private"
                return self.send({"url": f"http://{self.headers['Host']}/{hub.repository}"})
            if self.path == "/api/validate-yaml":
                return self.send({"errors": [], "warnings": []})
            if self.path.startswith(f"/api/models/{hub.repository}/preupload/"):
                files = json.loads(body)["files"]
                answers = [
                    {"path": path, "uploadMode": "regular", "shouldIgnore": path == hub.ignores}
                    for path in (each["path"] for each in files)
                ]
                return self.send({"files": answers})
            if self.path.startswith(f"/api/models/{hub.repository}/commit/"):
                return self.commit([json.loads(line) for line in body.splitlines()])
            return self.send({"error": "forbidden"}, 403)

        def commit(self, lines):
            files = dict(hub.commits[-1]) if hub.commits else {}
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            hub.commits.append(files)
            sha = hub.sha(len(hub.commits) - 1)
            url = f"http://{self.headers['Host']}/{hub.repository}/commit/{sha}"
            self.send({"commitUrl": url, "commitOid": sha, "success": True})

        def send_file(self, revision, path):
            sha, files = hub.at(revision)
            if not hub.is_made or files is None or path not in files:
                code = "EntryNotFound" if files is not None else "RevisionNotFound"
                return self.send({"error": "not found"}, 404, code)
            content = files[path]
            etag = hashlib.sha1(content).hexdigest() if hub.etag is None else hub.etag
            headers = {"X-Repo-Commit": sha, "ETag": f'"{etag}"'}
            if hub.claims:
                headers["X-Linked-Size"] = str(len(content) + hub.claims)
            return self.send(content, 200, headers=headers)

        def send(self, content, status=200, error=None, headers=None):
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            codes = {"X-Error-Code": error} if error else {}
            for name, value in {**codes, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    with listening(Handler) as endpoint:
        yield endpoint, hub
