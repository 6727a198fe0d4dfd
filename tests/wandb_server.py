"""A server that stands in for W&B's: it keeps runs, artifacts and alerts in memory.

It answers the requests of W&B's own client, by the names of their operations. What it keeps is what the client sent.
"""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

ENTITY = "me"
PERSON = {"id": "u1", "entity": ENTITY, "username": ENTITY, "email": "me@example.org", "flags": "{}"}
MANIFEST = "wandb_manifest.json"


class Server(ThreadingHTTPServer):
    """`artifacts`: by id, in the order of their creation. `used`: (run, artifact's id). `alerts`: as they were sent."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.artifacts, self.manifests, self.files = {}, {}, {}
        self.used, self.alerts, self.history, self.summaries = [], [], {}, {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name):
        """The artifact of NAME:ALIAS or NAME:vN; None if there is none."""
        name, _, alias = name.partition(":")
        found = [one for one in self.artifacts.values() if one["name"] == name]
        return next((one for one in found if alias in (*one["aliases"], f"v{one['version']}")), None)

    def slot(self, path, name):
        """The place of a file that the client uploads."""
        where = {"id": path, "name": name, "displayName": name, "uploadUrl": f"{self.url}/upload/{path}"}
        return where | {"uploadHeaders": [], "storagePath": path, "uploadMultipartUrls": None}

    def seen(self, artifact):
        """An artifact as a query returns it."""
        project = {"id": "p1", "internalId": "1", "name": artifact["project"], "entity": {"name": ENTITY}}
        collection = {"__typename": "ArtifactSequence", "name": artifact["name"], "project": project}
        aliases = [{"__typename": "ArtifactAlias", "id": f"alias-{a}", "alias": a} for a in artifact["aliases"]]
        node = {
            "__typename": "Artifact", "id": artifact["id"], "artifactSequence": collection, "description": None,
            "versionIndex": artifact["version"], "artifactType": {"name": artifact["type"]}, "tags": [],
            "metadata": artifact["metadata"], "ttlDurationSeconds": -2, "ttlIsInherited": True, "historyStep": None,
            "state": "COMMITTED", "size": 1, "digest": artifact["digest"], "commitHash": "c", "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": None, "aliases": [], "digestAlgorithm": "MANIFEST_MD5",
        }  # fmt: skip
        member = {"__typename": "ArtifactCollectionMembership", "id": "m1", "createdAt": "2026-01-01T00:00:00Z"}
        member |= {"versionIndex": artifact["version"], "aliases": aliases}
        return member | {"artifactCollection": collection, "artifact": node}

    # The operations, by name

    def Viewer(self, **variables):
        return {"viewer": PERSON | {"teams": {"edges": []}}}

    GetDefaultEntity = Viewer

    def ServerFeaturesQuery(self, **variables):
        return {"serverInfo": {"features": []}}

    def RunResumeStatus(self, **variables):
        return {"model": None}

    def UpsertBucket(self, name, project, config=None, summaryMetrics=None, **variables):
        if summaryMetrics:
            self.summaries[name] = json.loads(summaryMetrics)
        project = {"name": project, "entity": {"name": ENTITY}}
        bucket = {"id": name, "name": name, "displayName": name, "config": config or "{}", "sweepName": None}
        return {"upsertBucket": {"bucket": bucket | {"project": project, "historyLineCount": 0}, "inserted": True}}

    def CreateRunFiles(self, run, files, **variables):
        slots = [self.slot(f"{run}/{file}", file) for file in files]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": slots}}

    def CreateArtifact(self, input):
        aliases = [one["alias"] for one in input.get("aliases") or []]
        name, digest = input["artifactCollectionName"], input["digest"]
        known = [one for one in self.artifacts.values() if one["name"] == name]
        for one in known:
            one["aliases"] = [alias for alias in one["aliases"] if alias not in aliases]
        found = next((one for one in known if one["digest"] == digest), None)
        if found is None:
            found = {"id": base64.b64encode(f"artifact{len(self.artifacts)}".encode()).decode(), "aliases": []}
            found |= {"name": name, "digest": digest, "version": len(known), "run": input["runName"]}
            found |= {"type": input["artifactTypeName"], "metadata": input.get("metadata") or "{}", "state": "PENDING"}
            self.artifacts[found["id"]] = found | {"project": input["projectName"]}
        found = self.artifacts[found["id"]]
        found["aliases"] += aliases
        return {"createArtifact": {"artifact": found | {"artifactSequence": {"latestArtifact": None}}}}

    def CreateArtifactManifest(self, artifactID, **variables):
        return self._manifest("createArtifactManifest", artifactID)

    def UpdateArtifactManifest(self, artifactManifestID, **variables):
        return self._manifest("updateArtifactManifest", artifactManifestID)

    def _manifest(self, operation, key):
        return {operation: {"artifactManifest": {"id": key, "file": self.slot(f"{key}/{MANIFEST}", MANIFEST)}}}

    def CreateArtifactFiles(self, input):
        files = [(one["artifactID"], one["name"]) for one in input["artifactFiles"]]
        slots = [self.slot(f"{key}/{name}", name) | {"artifact": {"id": key}} for key, name in files]
        return {"createArtifactFiles": {"files": {"edges": [{"node": slot} for slot in slots]}}}

    def CommitArtifact(self, artifactID, **variables):
        self.artifacts[artifactID]["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": self.artifacts[artifactID]}}

    def UseArtifact(self, input=None, **variables):
        asked = input or variables  # of a new artifact, and of one that was there
        self.used.append((asked["runName"], asked["artifactID"]))
        return {"useArtifact": {"artifact": {"id": asked["artifactID"]}}}

    def NotifyScriptableRunAlert(self, **variables):
        self.alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}

    def ArtifactMembershipByName(self, project, name, **variables):
        found = self.named(name)
        return {"project": {"artifactCollectionMembership": found and self.seen(found)}}

    def ArtifactType(self, **variables):
        return {"project": {"artifact": None}}

    def FetchArtifactManifest(self, id):
        return {"artifact": {"currentManifest": {"file": {"directUrl": f"{self.url}/upload/{id}/{MANIFEST}"}}}}


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Nothing."""

    def _send(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self):
        self.server.files[unquote(self.path.removeprefix("/upload/"))] = self._body()
        self._send(b"")

    def do_GET(self):
        path = unquote(self.path)
        if path.startswith("/artifactsV2/"):  # region, entity, project, collection, id, hash of the content, file
            parts = path.split("/")
            path = f"{parts[6]}/{parts[8]}"
        content = self.server.files.get(path.removeprefix("/upload/"))
        self._send(content or b"", 404 if content is None else 200)

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self):
        body = self._body()
        if self.path != "/graphql":
            if self.path.endswith("/file_stream"):
                self._stream(self.path.split("/")[-2], json.loads(body))
            self._send(b"{}")
            return
        asked = json.loads(body)
        operation = asked.get("operationName") or asked["query"].split("(")[0].split("{")[0].split()[1]
        answer = getattr(self.server, operation, dict)  # others, such as the organization's name, need no answer
        data = {} if answer is dict else answer(**asked.get("variables") or {})
        self._send(json.dumps({"data": data}).encode())

    def _stream(self, run, sent):
        files = sent.get("files") or {}
        rows = files.get("wandb-history.jsonl", {}).get("content", [])
        self.server.history.setdefault(run, []).extend(map(json.loads, rows))
        for line in files.get("wandb-summary.json", {}).get("content", []):
            self.server.summaries[run] = json.loads(line)


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
