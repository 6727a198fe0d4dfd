"""A server that stands in for the Hugging Face Hub: it keeps what huggingface_hub uploads, and returns it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "a" * 34


class Server(ThreadingHTTPServer):
    """repositories: USER/NAME -> commits, each a dict of file -> content; the last one is main."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repositories, self.private, self.messages, self.uploads = {}, {}, [], {}

    def commits(self, repository):
        """Commit -> files, from the first to the last."""
        history = self.repositories[repository]
        return {hashlib.sha1(f"{repository}{i}".encode()).hexdigest(): files for i, files in enumerate(history)}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Nothing."""

    def send(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def known(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def missing(self, code, status=404):
        self.send({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def do_GET(self):
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "whoami-v2"]:
            return self.send(
                {"name": "me", "type": "user", "orgs": []} if self.known else {}, 200 if self.known else 401
            )
        repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repository not in self.server.repositories or (self.server.private[repository] and not self.known):
            return self.missing("RepoNotFound", 401)  # the hub doesn't distinguish it from a private one
        commits = self.server.commits(repository)
        named = "/".join(parts[5:]) if parts[0] == "api" else parts[3]
        commit = [*commits, None][-2] if named in ("", "main") else named
        if commit not in commits:
            return self.missing("RevisionNotFound")
        if parts[0] == "api":
            siblings = [{"rfilename": name} for name in commits[commit]]
            entries = [{"type": "file", "path": n, "size": len(c), "oid": "0"} for n, c in commits[commit].items()]
            return self.send(
                entries if parts[4:5] == ["tree"] else {"id": repository, "sha": commit, "siblings": siblings}
            )
        if (content := commits[commit].get("/".join(parts[4:]))) is None:
            return self.missing("EntryNotFound")
        return self.send(content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=commit)

    do_HEAD = do_GET

    def do_PUT(self):
        self.server.uploads[self.path.rpartition("/")[2]] = self.body()
        self.send(b"")

    def do_POST(self):
        path, body = unquote(urlsplit(self.path).path), self.body()
        if path == "/api/validate-yaml":
            return self.send({"warnings": [], "errors": []})
        if not self.known:
            return self.missing("", 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if not repository.startswith("me/"):
                return self.send({"error": "you have no rights there"}, 403)
            exists = repository in self.server.repositories
            if not exists:
                self.server.repositories[repository] = [{".gitattributes": b""}]
                self.server.private[repository] = asked.get("visibility") == "private" or asked.get("private") is True
            return self.send({"url": f"{self.server.url}/{repository}", "name": repository}, 409 if exists else 200)
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            href = f"{self.server.url}/upload/"
            uploads = [{**one, "actions": {"upload": {"href": href + one["oid"]}}} for one in objects]
            return self.send({"transfer": "basic", "objects": uploads})
        if "/preupload/" in path:
            files = [one["path"] for one in json.loads(body)["files"]]
            large = (".safetensors", ".pt2")
            modes = [{"path": name, "uploadMode": "lfs" if name.endswith(large) else "regular"} for name in files]
            return self.send({"files": [mode | {"shouldIgnore": False, "oid": None} for mode in modes]})
        repository = "/".join(path.split("/")[3:5])
        files = dict(self.server.repositories[repository][-1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.server.repositories[repository].append(files)
        commit = [*self.server.commits(repository)][-1]
        self.send(
            {"commitUrl": f"{self.server.url}/{repository}/commit/{commit}", "commitOid": commit, "success": True}
        )


@contextmanager
def serving():
    """A server in a thread."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
