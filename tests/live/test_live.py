"""The live loop's parts, with the real detector and real (small) recognisers; no camera, no screen."""

from __future__ import annotations

import cmath
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from faceenc.attacks import Dodge, Exact
from faceenc.core import Box, DataError, Face, overlap, turned
from faceenc.faces import Similarity
from faceenc.live import (
    HIDDEN,
    VISIBLE,
    AutoMethod,
    Controls,
    FaceInFrame,
    FaceNoise,
    FaceView,
    Feed,
    Frame,
    Gauges,
    Identifier,
    Live,
    LoopSource,
    Method,
    NearOrWide,
    NoiseMethod,
    Outputs,
    PgdMethod,
    Processor,
    Shown,
    StatsFile,
    Steadiness,
    Summary,
    Tracker,
    draw_overlay,
    frame_faces,
    live_detector,
    live_window,
    one_thread,
    who,
)
from faceenc.media import read_image
from faceenc.recognizers import load_recognizer, recognize, save_checkpoint
from tests.live_clips import moving, small_recognizer

PEOPLE = {"s1": "Ada", "s2": "Наталья", "s3": "Grace"}
EPS = 8


@pytest.fixture(scope="module")
def detector() -> Iterator[NearOrWide]:
    with live_detector() as opened:
        yield opened


@pytest.fixture(scope="module")
def identifier(detector: NearOrWide, tmp_path_factory: pytest.TempPathFactory) -> Identifier:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(small_recognizer(detector, PEOPLE), path, {})
    return Identifier(load_recognizer(str(path)))


@pytest.fixture(scope="module")
def embedder() -> Identifier:
    return Identifier(load_recognizer("dlib"))


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return moving(["s1/9", "s2/9"], 6)


class Collected:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[NDArray[np.uint8]] = []

    def write(self, frame: NDArray[np.uint8]) -> None:
        self.frames.append(frame)


class Typed:
    """Keys, one before each frame."""

    def __init__(self, keys: str) -> None:
        self.keys = list(keys)

    def __call__(self) -> str:
        return self.keys.pop(0) if self.keys else ""


def processed(
    frames: Sequence[NDArray[np.uint8]],
    detector: NearOrWide,
    identifier: Identifier,
    method: Method,
    *,
    smooth: bool = False,
) -> list[Shown]:
    processor = Processor(Tracker(detector, every=1, smooth=smooth), identifier, method, Controls(EPS))
    return [processor(Frame(index, frame, time.perf_counter(), 0.0)) for index, frame in enumerate(frames)]


@pytest.fixture(scope="module")
def hidden(frames: list[NDArray[np.uint8]], detector: NearOrWide, embedder: Identifier) -> list[Shown]:
    return processed(frames, detector, embedder, PgdMethod(steps=2, first=6), smooth=True)


@pytest.fixture(scope="module")
def protected(frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier) -> list[Shown]:
    return processed(frames, detector, identifier, PgdMethod(steps=1))


def test_the_screen_says_what_the_recogniser_says(
    frames: list[NDArray[np.uint8]], protected: list[Shown], detector: NearOrWide, identifier: Identifier
) -> None:
    for frame, shown in zip(frames, protected, strict=True):
        for pixels, side in ((frame, "before"), (shown.pixels, "after")):
            # The same places, for the detector sees the noise as well.
            places = frame_faces(detector, frame)
            wanted = {person.face.box: person for person in recognize(pixels, identifier.model, lambda _, p=places: p)}
            assert len(wanted) == len(shown.faces) == 2
            for face in shown.faces:
                person, reading = wanted[face.box], getattr(face, side)
                assert reading.name == person.name
                assert [name for name, _ in reading.top] == [name for name, _ in person.top]
                assert [value for _, value in reading.top] == pytest.approx([value for _, value in person.top], abs=1e-4)
                assert who(reading) == f"{person.name} {person.probability:.0%}"


def test_both_people_are_known_without_noise_and_hidden_with_it(hidden: list[Shown]) -> None:
    for shown in hidden:
        assert [face.before.name for face in shown.faces if face.before is not None] == ["same face"] * 2
    assert np.mean([face.hidden for shown in hidden for face in shown.faces]) >= 0.9


def test_noise_without_gradients_hides_nobody(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, embedder: Identifier
) -> None:
    control = processed(frames[:4], detector, embedder, NoiseMethod(torch.Generator().manual_seed(0)))
    assert np.mean([face.hidden for shown in control for face in shown.faces]) <= 0.25
    change = control[0].pixels.astype(int) - frames[0]
    assert np.abs(change).max() == EPS


def test_no_pixel_changes_by_more_than_eps_and_none_far_from_a_face(
    frames: list[NDArray[np.uint8]], protected: list[Shown]
) -> None:
    for frame, shown in zip(frames, protected, strict=True):
        change = np.abs(shown.pixels.astype(int) - frame)
        assert 0 < change.max() <= EPS
        far = np.ones(frame.shape[:2], bool)
        for face in shown.faces:
            grown = 0.8 * face.box.height
            far[
                max(0, int(face.box.y0 - grown)) : int(face.box.y1 + grown),
                max(0, int(face.box.x0 - grown)) : int(face.box.x1 + grown),
            ] = False
        assert far.any()
        assert not change[far].any()


def test_the_noise_stays_with_the_face(frames: list[NDArray[np.uint8]], detector: NearOrWide, embedder: Identifier) -> None:
    """From frame to frame it changes by less than it is strong: it is moved, not made anew."""
    steadiness = Steadiness()
    tracker = Tracker(detector, every=1)
    processor = Processor(tracker, embedder, PgdMethod(), Controls(EPS), read_every=4, noted=steadiness.note)
    for index, frame in enumerate(frames):
        processor(Frame(index, frame, time.perf_counter(), 0.0))
    assert steadiness.noise > 1
    assert steadiness.flicker < 0.6 * steadiness.noise


@pytest.mark.parametrize("who_hides", ["hidden", "protected"])
def test_boxes_on_the_screen_have_the_colour_of_the_result(who_hides: str, request: pytest.FixtureRequest) -> None:
    shown = request.getfixturevalue(who_hides)[-1]
    screen = draw_overlay(shown, Gauges(25.0, 40.0, "pgd", 1))
    for face in shown.faces:
        colour = HIDDEN if face.hidden else VISIBLE
        column = screen[round(face.box.y0) + 8 : round(face.box.y1) - 8, round(face.box.x0)]
        np.testing.assert_array_equal(column, np.broadcast_to(colour, column.shape))
        inside = (
            slice(round(face.box.y0) + 10, round(face.box.y1) - 10),
            slice(round(face.box.x0) + 10, round(face.box.x1) - 10),
        )
        np.testing.assert_array_equal(screen[inside], shown.pixels[inside])


def run(
    frames: Sequence[NDArray[np.uint8]],
    detector: NearOrWide,
    identifier: Identifier,
    outputs: Outputs,
    *,
    limit: int | None = None,
    drop: bool = False,
) -> tuple[Summary, Controls]:
    controls = Controls(EPS)
    processor = Processor(Tracker(detector), identifier, PgdMethod(), controls, read_every=4)
    with Feed(LoopSource(frames, rate=25), drop=drop, limit=limit) as feed:
        return Live(feed, processor, outputs, method="pgd", steps=1).run(), controls


def test_keys(frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier, tmp_path: Path) -> None:
    plain = Collected()
    outputs = Outputs(plain=[plain], key=Typed(" ++-s"), snapshots=tmp_path)
    summary, controls = run(frames, detector, identifier, outputs, limit=3)
    assert controls.note == f"snapshot: {next(tmp_path.iterdir()).name}"
    assert (controls.protecting, controls.eps) == (False, EPS + 1)
    # The keys came before the first frame was shown; up to two more were on their way already.
    np.testing.assert_array_equal(plain.frames[-1], frames[2])
    (snapshot,) = tmp_path.iterdir()
    np.testing.assert_array_equal(read_image(snapshot), plain.frames[0])
    assert (summary.frames, summary.dropped) == (3, 0)


def test_what_is_seen_while_protection_is_off_counts_for_nothing(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, embedder: Identifier
) -> None:
    controls = Controls(EPS)
    processor = Processor(Tracker(detector), embedder, PgdMethod(steps=2, first=6), controls)
    read = []
    for index, frame in enumerate(frames[:3]):
        controls.protecting = index != 1
        read += [face.after is not None for face in processor(Frame(index, frame, 0.0, 0.0)).faces]
    assert read == [True, True, False, False, True, True]


def test_t_goes_round_the_people_who_consented() -> None:
    controls = Controls(EPS, {"Ada": np.zeros((1, 128), np.float32), "Grace": np.zeros((1, 128), np.float32)})
    seen = []
    for _ in range(4):
        controls.press("t")
        seen.append(controls.target)
    assert seen == ["Ada", "Grace", None, "Ada"]
    for _ in range(40):
        controls.press("-")
    assert controls.eps == 1


def test_q_ends_an_endless_source_and_every_thread(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier
) -> None:
    before = threading.active_count()
    shown = Collected()

    def key() -> str:
        return "q" if len(shown.frames) == 2 else ""

    summary, _ = run(frames, detector, identifier, Outputs(drawn=[shown], key=key), drop=True)
    assert summary.frames == 2
    assert threading.active_count() == before


def test_stats_have_a_row_a_frame(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier, tmp_path: Path
) -> None:
    with StatsFile(tmp_path / "a.json") as stats:
        run(frames, detector, identifier, Outputs(stats=stats), limit=3)
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert all(row["faces"] == 2 and row["latency_ms"] >= row["attack_ms"] > 0 for row in rows)
    with StatsFile(tmp_path / "a.csv") as stats:
        stats.write(rows[0])
    head, line = (tmp_path / "a.csv").read_text().splitlines()
    assert dict(zip(head.split(","), map(float, line.split(",")), strict=True)) == pytest.approx(rows[0])


def test_recording_shows_a_frame_again_for_those_that_were_dropped(frames: list[NDArray[np.uint8]]) -> None:
    recorded = Collected()
    steady = Outputs(plain=[recorded], steady=[recorded])
    with Feed(LoopSource(frames, rate=25), drop=False, limit=1) as feed:
        live = Live(feed, _Untouched(), steady, method="", steps=0)  # type: ignore[arg-type]
        for index in (0, 1, 4):
            live._show(Shown(Frame(index, frames[index], time.perf_counter(), 0.0), frames[index], (), 0, None, {}))
    for got, index in zip(recorded.frames, (0, 1, 1, 1, 4), strict=True):
        np.testing.assert_array_equal(got, frames[index])


class _Untouched:
    controls = Controls(EPS)


def test_auto_rests_when_there_is_no_time_and_works_when_there_is(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, embedder: Identifier
) -> None:
    steps: list[int] = []

    class Watched(PgdMethod):
        def ascend(self, face, last, steps_now):  # type: ignore[no-untyped-def]
            steps.append(steps_now)
            return super().ascend(face, last, steps_now)

    method = AutoMethod(lambda name: None, Watched(early_stop=embedder.margin), most=3)
    for rate, many in ((1e6, 0), (1e-6, 3)):
        steps.clear()
        tracker = Tracker(detector, every=1)
        processor = Processor(tracker, embedder, method, Controls(EPS), rate=rate)
        for index, frame in enumerate(frames[:3]):
            shown = processor(Frame(index, frame, time.perf_counter(), 0.0))
        assert steps[:2] == [4, 4]  # new faces are protected at once
        assert steps[2:] == [many] * (len(steps) - 2)
        assert (shown.pixels != frames[2]).any()


def test_a_face_keeps_its_number_between_detections_and_through_misses() -> None:
    seen: dict[int, list[Face]] = {}

    def scripted(image: NDArray[np.uint8]) -> list[Face]:
        return seen[int(image[0, 0, 0])]

    for index in range(0, 30, 2):
        left, right = _face(20 + 3 * index, 60, 50), _face(200 - 3 * index, 150, 40)
        seen[index] = [right, left] if index % 4 else [left, right]
    seen[8] = seen[10] = [seen[8][0]]
    tracker = Tracker(scripted, every=2)
    numbers = set()
    for index in range(30):
        tracks = tracker.update(index, np.full((240, 320, 3), index, np.uint8))
        assert len(tracks) == 2
        numbers.add(tuple((t.number, t.face.box.height > 45) for t in sorted(tracks, key=lambda t: t.number)))
        if index % 2 and index > 12:  # between two detections it is where it moves to
            large = next(t for t in tracks if t.face.box.height > 45)
            assert overlap(large.face.box, _face(20 + 3 * index, 60, 50).box) > 0.85
    assert len(numbers) == 1


def test_a_face_that_is_gone_is_given_up_and_the_next_one_is_new() -> None:
    faces = [_face(50, 50, 40)]
    tracker = Tracker(lambda image: list(faces), every=1)
    frame = np.zeros((240, 320, 3), np.uint8)
    assert [t.number for t in tracker.update(0, frame)] == [1]
    faces.clear()
    assert [t.number for t in tracker.update(5, frame)] == [1]
    assert tracker.update(40, frame) == []
    faces.append(_face(50, 50, 40))
    assert [t.number for t in tracker.update(41, frame)] == [2]


def test_what_the_detector_for_large_faces_doubts_counts_where_nothing_else_is_found() -> None:
    face, hands = _face(60, 40, 50), replace(_face(40, 140, 90), score=0.65)
    seen: dict[str, list[Face]] = {"near": [face, hands], "wide": [face]}
    find = NearOrWide(lambda image: seen["near"], lambda image: seen["wide"], lambda image: [])
    blank = np.zeros((240, 320, 3), np.uint8)
    assert find(blank) == [face]
    seen["near"] = [hands]
    assert find(blank) == [face]
    seen["wide"] = []
    assert find(blank) == [hands]


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("person", ["s2/9", "s3/9", "s11/1", "s20/1"])
def test_a_lying_head_is_tracked(person: str, quarters: int, detector: NearOrWide) -> None:
    tracker = Tracker(replace(detector), every=1)
    numbers = set()
    for index, frame in enumerate(moving([person], 6)):
        tracks = tracker.update(index, np.ascontiguousarray(np.rot90(frame, quarters)))
        if index >= 2:
            (track,) = tracks
            numbers.add(track.number)
            assert track.face.quarters == -quarters % 4
            upright = turned(track.face, -quarters, *np.rot90(frame, quarters).shape[1::-1])
            assert 50 < upright.box.x0 < upright.box.x1 < 270
            assert 80 < upright.box.y0 < upright.box.y1 < 310
    assert len(numbers) == 1


@pytest.mark.parametrize("turns", [1, 3])
def test_nothing_is_looked_at_from_as_many_sides_as_there_is_time_for(turns: int, detector: NearOrWide) -> None:
    shapes = []

    def looked(image: NDArray[np.uint8]) -> list[Face]:
        shapes.append(image.shape[:2])
        return detector.yunet(image)

    find = replace(detector, yunet=looked, turns=turns)
    for _ in range(3):
        assert frame_faces(find, np.full((360, 640, 3), 118, np.uint8)) == []
    assert len(shapes) == 3 * (1 + turns)
    assert shapes.count((320, 180)) == 2 * turns
    assert {(180, 320), (320, 180)} == set(shapes)


def test_a_lying_head_in_a_video_is_found_at_once(detector: NearOrWide) -> None:
    lying = np.ascontiguousarray(np.rot90(moving(["s2/9"], 1)[0], 3))
    (face,) = frame_faces(replace(detector, turns=3), lying)
    assert face.quarters == 1


def test_nothing_jumps_when_another_detector_finds_the_face() -> None:
    """MediaPipe's and YuNet's boxes differ by a few pixels; half of that is taken over, of box and landmarks alike."""
    first = _face(100, 60, 80)
    eyes_and_mouth = first.landmarks["mediapipe"]
    five = (*eyes_and_mouth[:3], (128.0, 124.0), (152.0, 124.0))
    shifted = tuple((x + 4, y) for x, y in five)
    other = Face(Box(104, 60, 184, 140), {"arcface": shifted}, 0.9, "yunet")
    both = replace(other, landmarks={**other.landmarks, "mediapipe": tuple((x + 4, y) for x, y in eyes_and_mouth)})
    found = [first]
    tracker = Tracker(lambda image: list(found), every=1)
    frame = np.zeros((240, 320, 3), np.uint8)
    last: complex | None = None
    for index, face in enumerate([first, other, first, both, other, first]):
        found[:] = [face]
        (track,) = tracker.update(index, frame)
        assert set(track.face.landmarks) == set(face.landmarks)
        here = track.face.eyes_and_mouth[0]
        assert last is None or abs(here - last) < 4
        assert abs(here - complex(track.face.box.x0, track.face.box.y0) - (24 + 32j)) < 0.1
        last = here
    assert track.number == 1


def _face(x: float, y: float, side: float) -> Face:
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.5, 0.8), (0.1, 0.4), (0.9, 0.4)]
    found = tuple((x + side * u, y + side * v) for u, v in points)
    return Face(Box(x, y, x + side, y + side), {"mediapipe": found}, 0.9)


def test_noise_moves_by_whole_pixels_unchanged() -> None:
    delta = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    noise = FaceNoise(delta, Similarity(0.2 + 0j, 10 + 5j))
    moved = noise.moved_to(Similarity(0.2 + 0j, 13.2 + 3.9j), (60, 60))
    want = torch.zeros(1, 3, 60, 60)
    want[..., :39, 3:53] = delta[..., 1:40, :]
    torch.testing.assert_close(moved, want, rtol=0, atol=0)


def test_noise_turns_and_grows_with_the_face() -> None:
    """A smooth function of the place in the chip is the same function of the chip wherever that lies."""
    here, there = Similarity(1 + 0j, 20 + 20j), Similarity(cmath.rect(1.3, 0.4), 90 + 12j)

    def picture(chip: Similarity, height: int, width: int) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        place = (torch.complex(columns.double(), rows.double()) - chip.shift) / chip.turn
        bump = torch.exp(-((place - (75 + 75j)).abs() ** 2) / 800) * torch.cos(place.real / 9)
        return bump.float().expand(1, 3, -1, -1)

    moved = FaceNoise(picture(here, 190, 190), here).moved_to(there, (260, 250))
    torch.testing.assert_close(moved, picture(there, 260, 250), rtol=0, atol=0.01)


def test_the_fast_gradient_at_the_frames_pixels_is_the_exact_one(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier
) -> None:
    face = detector(frames[0])[0]
    window, _ = live_window(frames[0], face, [(identifier.crops.similarity(face), identifier.crops.size)])
    goal = Dodge(torch.tensor([0]))
    views = [
        FaceView(identifier.model, window.crops[0][0], identifier.crops.size, torch.Generator().manual_seed(5))
        for _ in range(2)
    ]
    fast = views[0].engine("fused")(window.picture, goal)
    exact = Exact(views[1])(window.picture, goal)
    assert fast.gradient.shape == window.picture.shape
    torch.testing.assert_close(fast.outputs, exact.outputs, rtol=1e-3, atol=1e-3)
    assert float((fast.gradient - exact.gradient).norm() / exact.gradient.norm()) < 0.02


@pytest.mark.parametrize("hidden_already", [True, False])
def test_gradients_go_on_in_the_next_frame_while_they_hide_the_face(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier, hidden_already: bool
) -> None:
    face = detector(frames[0])[0]
    window, chip = live_window(frames[0], face, [(identifier.crops.similarity(face), identifier.crops.size)])
    view = FaceView(identifier.model, window.crops[0][0], identifier.crops.size)
    answer = view(window.picture)[0]
    goal = Dodge((answer.argmin() if hidden_already else answer.argmax())[None])
    in_frame = FaceInFrame(window, chip, view, goal, 0.1 / 255, None, None, 1.0)  # too little noise to change that

    def momentum(last: FaceNoise | None, decay: float) -> torch.Tensor:
        noise = PgdMethod(first=1, momentum=decay, gradients="fused")(replace(in_frame, last=last))
        assert noise.momentum is not None
        return noise.momentum

    first = PgdMethod(first=1, momentum=0.5, gradients="fused")(in_frame)
    torch.testing.assert_close(momentum(None, 0.5).abs().sum(), torch.tensor(1.0))
    expected = momentum(first, 0.0) + (0.5 * momentum(None, 0.5) if hidden_already else 0)
    torch.testing.assert_close(momentum(first, 0.5), expected)


def test_noise_that_rests_is_kept_as_it_was_made(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier
) -> None:
    face = detector(frames[0])[0]
    window, chip = live_window(frames[0], face, [(identifier.crops.similarity(face), identifier.crops.size)])
    view = FaceView(identifier.model, window.crops[0][0], identifier.crops.size)
    hidden_already = Dodge(view(window.picture)[0].argmin()[None])
    turned = replace(chip, turn=chip.turn * cmath.rect(1, 0.1))
    last = FaceNoise(torch.full_like(window.picture, 0.1 / 255), turned)
    in_frame = FaceInFrame(window, chip, view, hidden_already, 0.1 / 255, last, None, 1.0)
    assert PgdMethod(early_stop=0.0)(in_frame) is last
    assert PgdMethod()(in_frame) is not last


def test_frames_are_protected_in_the_thread_that_was_given(frames: list[NDArray[np.uint8]]) -> None:
    class Where(_Untouched):
        def __call__(self, frame: Frame) -> Shown:
            seen.add(threading.get_ident())
            return Shown(frame, frame.pixels, (), 0, None, {})

    seen: set[int] = set()
    with one_thread() as worker, Feed(LoopSource(frames, rate=25), drop=False, limit=3) as feed:
        summary = Live(feed, Where(), Outputs(), method="", steps=0, worker=worker).run()
        assert (summary.frames, seen) == (3, {worker.submit(threading.get_ident).result()})


def test_a_feed_that_drops_keeps_the_newest(frames: list[NDArray[np.uint8]]) -> None:
    with Feed(LoopSource(frames, rate=25), drop=True, limit=50) as feed:
        while feed._thread.is_alive():
            time.sleep(0.005)
        last = feed.next()
        assert last is not None
        assert (last.index, feed.dropped) == (49, 49)
        assert feed.next() is None


def test_a_feed_that_waits_gives_every_frame_and_reads_no_further_ahead(frames: list[NDArray[np.uint8]]) -> None:
    source = LoopSource(frames, rate=25)
    with Feed(source, drop=False, limit=20) as feed:
        time.sleep(0.1)
        assert source._count <= 6
        taken = []
        while (frame := feed.next()) is not None:
            taken.append(frame.index)
    assert taken == list(range(20))
    assert feed.dropped == 0


def test_an_error_of_the_source_reaches_the_main_thread(
    frames: list[NDArray[np.uint8]], detector: NearOrWide, identifier: Identifier
) -> None:
    class Unplugged(LoopSource):
        def read(self) -> NDArray[np.uint8] | None:
            if self._count == 2:
                raise DataError("the camera was unplugged")
            return super().read()

    processor = Processor(Tracker(detector), identifier, PgdMethod(), Controls(EPS), read_every=9)
    shown = Collected()
    with (
        pytest.raises(DataError, match="unplugged"),
        Feed(Unplugged(frames, rate=25), drop=False) as feed,
    ):
        Live(feed, processor, Outputs(plain=[shown]), method="pgd", steps=1).run()
    assert len(shown.frames) == 2
