"""What an experiment left: metrics, log, files and adapter, and nothing beside them."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from tests.api.serving import Api, add_experiment, serving
from tests.api.test_train import problem

from tunesmith.api import stream
from tunesmith.experiments.lifecycle.states import this_process
from tunesmith.files.copies import Copies
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.mirror import Mirror
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment, Metric
from tunesmith.store.store import Store


@pytest.fixture
def experiment(api: Api) -> Experiment:
    return add_experiment(api.store, api.settings)


def folder(experiment: Experiment) -> Path:
    return Path(str(experiment.directory))


def test_metrics_come_by_name_and_step_and_what_is_not_finite_is_null(
    api: Api, experiment: Experiment
) -> None:
    losses = [1.0, math.nan, math.inf]
    api.store.add_metrics(
        [Metric(experiment.id, step, "loss", loss) for step, loss in enumerate(losses)]
        + [Metric(experiment.id, 2, "eval_accuracy", 0.5, epoch=1.0)]
    )
    body = api.get(f"/experiments/{experiment.id}/metrics").json()["metrics"]
    assert [point["value"] for point in body["loss"]] == [1.0, None, None]
    assert body["eval_accuracy"][0]["epoch"] == 1.0
    since = api.get(f"/experiments/{experiment.id}/metrics?name=loss&since=1").json()["metrics"]
    assert [point["step"] for point in since["loss"]] == [2]


def test_a_long_history_is_thinned_out_and_keeps_its_peak(api: Api, experiment: Experiment) -> None:
    values = [math.sin(step / 100) for step in range(5000)]
    values[3333] = 50.0
    api.store.add_metrics(
        Metric(experiment.id, step, "loss", value) for step, value in enumerate(values)
    )
    path = f"/experiments/{experiment.id}/metrics"
    points = api.get(path, params={"points": 100}).json()["metrics"]["loss"]
    assert len(points) <= 100
    assert max(point["value"] for point in points) == 50.0


def test_a_log_is_read_by_its_tail_or_on_from_an_offset(api: Api, experiment: Experiment) -> None:
    path = f"/experiments/{experiment.id}/logs"
    assert api.get(path, params={"tail": 2}).json()["text"] == "line 2\nline 3\n"
    first = api.get(path, params={"limit": 10}).json()
    assert (first["text"], first["next_offset"], first["size"]) == ("line 1\n", 7, 21)
    rest = api.get(path, params={"offset": first["next_offset"]}).json()
    assert (rest["text"], rest["next_offset"]) == ("line 2\nline 3\n", 21)
    assert api.get(path, params={"offset": 10**9}).json()["text"] == ""


def test_a_line_that_is_being_written_waits_for_its_end(api: Api) -> None:
    experiment = add_experiment(
        api.store, api.settings, status=ExperimentStatus.RUNNING, lease="l", host="elsewhere"
    )
    log = folder(experiment) / "logs.txt"
    log.write_bytes("whole\npärt".encode()[:-1])
    path = f"/experiments/{experiment.id}/logs"
    part = api.get(path).json()
    assert (part["text"], part["next_offset"]) == ("whole\n", 6)
    log.write_bytes("whole\npärt of it\n".encode())
    assert api.get(path, params={"offset": 6}).json()["text"] == "pärt of it\n"


def test_a_line_longer_than_the_limit_comes_in_parts(api: Api, experiment: Experiment) -> None:
    (folder(experiment) / "logs.txt").write_text("x" * 100 + "\n")
    part = api.get(f"/experiments/{experiment.id}/logs", params={"limit": 30}).json()
    assert (part["text"], part["next_offset"]) == ("x" * 30, 30)


def test_an_experiment_without_a_log_has_an_empty_one(api: Api, experiment: Experiment) -> None:
    (folder(experiment) / "logs.txt").unlink()
    assert api.get(f"/experiments/{experiment.id}/logs").json()["size"] == 0


def test_files_are_listed_and_come_as_downloads(api: Api, experiment: Experiment) -> None:
    (folder(experiment) / "page.html").write_text("<script>alert(1)</script>")
    listed = api.get(f"/experiments/{experiment.id}/files").json()["files"]
    sizes = {entry["path"]: entry["size"] for entry in listed}
    assert sizes["artifacts/final_model/adapter_model.safetensors"] == 7000
    page = api.get(f"/experiments/{experiment.id}/files/page.html")
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"].startswith("attachment")
    assert page.headers["x-content-type-options"] == "nosniff"
    part = api.get(page.request.url, headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, b"<script>")


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-2", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"), ("bytes=8-99", 206, b"89"),
        ("bytes=4-2", 200, b"0123456789"), ("bytes=-", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"), ("lines=1-2", 200, b"0123456789"),
        ("nonsense", 200, b"0123456789"), ("bytes=10-", 416, b""), ("bytes=-0", 416, b""),
    ],
)  # fmt: skip
def test_a_part_of_a_file_is_what_range_says(
    api: Api, experiment: Experiment, asked: str, status: int, content: bytes
) -> None:
    (folder(experiment) / "digits.txt").write_bytes(b"0123456789")
    path = f"/experiments/{experiment.id}/files/digits.txt"
    response = api.get(path, headers={"Range": asked})
    if status == 416:
        problem(response, 416)
        assert response.headers["content-range"] == "bytes */10"
        return
    assert (response.status_code, response.content) == (status, content)
    assert response.headers["content-length"] == str(len(content))
    tag = response.headers["etag"]
    for known, given in ((tag, status), ('"before"', 200)):
        again = api.get(path, headers={"Range": asked, "If-Range": known})
        assert again.status_code == given


def test_a_file_that_grows_while_it_is_sent_comes_up_to_where_it_ended(
    api: Api, experiment: Experiment
) -> None:
    log = folder(experiment) / "logs.txt"
    log.write_bytes(b"x" * 32_000_000)  # more than lies in buffers between the two
    got = 0
    with api.stream("GET", f"/experiments/{experiment.id}/files/logs.txt") as response:
        for piece in response.iter_bytes():
            if not got:
                with log.open("ab") as end:
                    end.write(b"another line\n")
            got += len(piece)
    assert got == 32_000_000


def test_a_name_in_any_script_is_the_name_of_the_download(api: Api, experiment: Experiment) -> None:
    (folder(experiment) / "影評.csv").write_text("text\n")
    response = api.get(f"/experiments/{experiment.id}/files/{quote('影評.csv')}")
    named = response.headers["content-disposition"]
    assert named == f"attachment; filename=\"_.csv\"; filename*=utf-8''{quote('影評.csv')}"


@pytest.mark.parametrize(
    "path",
    [
        "../experiments.db", "../../etc/passwd", "/etc/passwd", "//etc/passwd", "artifacts/../../x",
        "artifacts", "", ".", "..", "nothing.txt", "logs.txt/", "logs.txt\0", "..\\x", ".hidden",
        "link.txt", "linked/passwd", "final_model/" * 500, "%2e%2e/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(api: Api, experiment: Experiment, path: str) -> None:
    (folder(experiment) / "link.txt").symlink_to("/etc/passwd")
    (folder(experiment) / "linked").symlink_to("/etc")
    (folder(experiment) / ".hidden").write_text("secret")
    url = f"/experiments/{experiment.id}/files/{quote(path, safe='').replace('.', '%2e')}"
    problem(api.get(url), 404)


def test_links_are_not_even_listed(api: Api, experiment: Experiment) -> None:
    (folder(experiment) / "link.txt").symlink_to("/etc/passwd")
    (folder(experiment) / "linked").symlink_to("/etc")
    listed = api.get(f"/experiments/{experiment.id}/files").json()["files"]
    assert not [entry for entry in listed if "link" in entry["path"]]


def test_the_adapter_comes_as_a_whole_archive(api: Api, experiment: Experiment) -> None:
    response = api.get(f"/experiments/{experiment.id}/adapter")
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert archive.read("reviews/adapter_model.safetensors") == b"weights" * 1000
        assert set(archive.namelist()) == {
            "reviews/adapter_config.json", "reviews/adapter_model.safetensors",
        }  # fmt: skip


def test_without_an_adapter_the_answer_says_why(api: Api, config: dict[str, Any]) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    assert "queued" in problem(api.get(f"/experiments/{id_}/adapter"), 404)["detail"]


def test_what_other_machines_left_comes_from_the_object_store(
    api: Api, tmp_path: Path, config: dict[str, Any]
) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    name = folder(api.store.get(id_)).name
    copy = tmp_path / "bucket" / name / "artifacts" / "final_model"
    copy.mkdir(parents=True)
    (copy / "adapter_config.json").write_text("{}")
    (tmp_path / "bucket" / name / "logs.txt").write_text("from elsewhere\n")
    settings = api.settings.model_copy(update={"artifacts": f"file://{tmp_path / 'bucket'}"})
    with serving(settings) as other:
        assert other.get(f"/experiments/{id_}/logs").json()["text"] == "from elsewhere\n"
        listed = other.get(f"/experiments/{id_}/files").json()["files"]
        assert {"logs.txt", "config.yaml"} <= {entry["path"] for entry in listed}
        file = other.get(f"/experiments/{id_}/files/artifacts/final_model/adapter_config.json")
        assert file.content == b"{}"
        assert 'filename="adapter_config.json"' in file.headers["content-disposition"]
        part = other.get(file.request.url, headers={"Range": "bytes=1-"})
        assert (part.status_code, part.content) == (206, b"}")
        assert other.get(f"/experiments/{id_}/adapter").status_code == 200


def test_of_a_log_in_the_object_store_only_what_is_new_is_read(tmp_path: Path) -> None:
    class Watched(Copies):
        parts: ClassVar[list[tuple[int, int | None]]] = []

        def files(self, name: str) -> dict[str, int]:
            pytest.fail(f"{name} was listed")

        def read(
            self, name: str, path: str, begin: int = 0, end: int | None = None
        ) -> Iterator[bytes]:
            self.parts.append((begin, end))
            return super().read(name, path, begin, end)

    copies = Watched(f"file://{tmp_path / 'bucket'}")
    elsewhere = ExperimentFolder(tmp_path / "reviews_1", copies, is_here=False)
    assert elsewhere.read_log(0, 100) == (b"", 0)
    (tmp_path / "bucket" / "reviews_1").mkdir()
    (tmp_path / "bucket" / "reviews_1" / "logs.txt").write_text("line 1\nline 2\n")
    assert elsewhere.read_log(7, 100) == (b"line 2\n", 14)
    assert elsewhere.read_log(14, 100) == (b"", 14)
    assert copies.parts == [(7, 14)]


def events(api: Api, id_: str, **headers: str) -> list[tuple[str, str, Any]]:
    """Kind, id and data of every event until the stream ends."""
    found = []
    with api.stream("GET", f"/experiments/{id_}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = "".join(response.iter_text())
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_a_stream_of_an_ended_experiment_tells_all_and_ends(
    api: Api, experiment: Experiment
) -> None:
    api.store.add_metrics([Metric(experiment.id, 10, "loss", 0.5)])
    found = events(api, experiment.id)
    assert [kind for kind, _, _ in found] == ["status", "metrics", "log", "end"]
    assert found[0][2]["status"] == "SUCCESS"
    assert found[1][2]["loss"][0]["value"] == 0.5
    assert found[2][2]["text"] == "line 1\nline 2\nline 3\n"


def test_a_stream_goes_on_after_the_last_event_that_came(api: Api, experiment: Experiment) -> None:
    api.store.add_metrics([Metric(experiment.id, step, "loss", 0.5) for step in range(20)])
    last = events(api, experiment.id)[-1][1]
    with (folder(experiment) / "logs.txt").open("a") as log:
        log.write("line 4\n")
    again = {kind: data for kind, _, data in events(api, experiment.id, **{"Last-Event-ID": last})}
    assert again["log"]["text"] == "line 4\n"
    assert [point["step"] for point in again["metrics"]["loss"]] == [19]
    everything = events(api, experiment.id, **{"Last-Event-ID": "nonsense"})
    assert len(everything[1][2]["loss"]) == 20


def test_a_stream_shows_changes_as_they_come(api: Api, config: dict[str, Any]) -> None:
    id_ = api.post("/train", json=config).json()["task_id"]
    seen = []
    with api.stream("GET", f"/experiments/{id_}/events") as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
                if seen == ["status"]:
                    api.as_(None).post(f"/experiments/{id_}/cancel")
    assert seen == ["status", "status", "end"]


def test_a_stream_ends_with_the_token_that_it_was_asked_for_with(
    guarded: Api, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "IDENTIFIED_EVERY", 0.0)
    id_ = guarded.post("/train", json=config).json()["task_id"]
    maria = guarded.as_(guarded.token("maria"))
    seen = []
    with maria.stream("GET", f"/experiments/{id_}/events") as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
                if seen == ["status"]:
                    guarded.delete("/tokens/maria")
                    guarded.service.authenticator.tokens.forget()
            if line.startswith(":"):
                pytest.fail("the stream went on until it had to be kept alive")
    assert seen == ["status"]
    problem(maria.get(f"/experiments/{id_}/events"), 401)


def test_a_stream_of_nothing_is_not_found(api: Api) -> None:
    problem(api.get(f"/experiments/{'0' * 12}/events"), 404)


def test_a_machine_of_the_same_name_has_other_files(settings: Settings, tmp_path: Path) -> None:
    copied = settings.model_copy(update={"artifacts": f"file://{tmp_path}/copies"})
    here = this_process()
    with Store(copied.store_url) as store:
        ours, theirs = (
            add_experiment(store, copied, **{**here, "machine": machine})
            for machine in (here["machine"], "0123456789abcdef")
        )
    for experiment in (ours, theirs):
        Mirror(ExperimentFolder(folder(experiment), Copies.of(copied))).update()
    assert ExperimentFolder.of(ours, copied).is_here
    assert not ExperimentFolder.of(theirs, copied).is_here


def test_only_a_newline_ends_a_line_of_the_log(api: Api, experiment: Experiment) -> None:
    log = folder(experiment) / "logs.txt"
    log.write_bytes("first\n10 %\r20 %\u2028end\n".encode())
    last = api.get(f"/experiments/{experiment.id}/logs", params={"tail": 1}).json()
    assert (last["text"], last["offset"]) == ("10 %\r20 %\u2028end\n", 6)


def test_the_tail_of_a_large_log_begins_with_a_whole_line(api: Api, experiment: Experiment) -> None:
    log = folder(experiment) / "logs.txt"
    line = "評" * 1000 + "\n"
    log.write_text(line * 500, encoding="utf-8")
    last = api.get(f"/experiments/{experiment.id}/logs", params={"tail": 10_000}).json()
    count = (1 << 20) // 3001
    assert last["text"] == line * count
    assert last["offset"] == (500 - count) * 3001
