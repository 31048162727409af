"""What `faceenc video` keeps of clips: frame times, sound, colours, size, tags; and whether Chromium plays the copy.

    python benchmarks/video_copies.py CLIP... --output FOLDER [--ending .mp4] [--chromium chromium] [--steps N] [--nothing]

Each clip is protected by the command itself (with --nothing it is only read and written, which is quick), then both files
are read by PyAV alone. Colours are compared in blocks of 16 pixels, as means, and the 90th percentile of their differences
is shown: noise on faces is not what is asked about here. The last column is what the browser's <video> element said after
the first second.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faceenc.media import Clip, VideoFile

KINDS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska"}
PAGE = b"""<!doctype html><body><script>
const v = document.createElement('video'); v.muted = true; v.src = '/copy'; document.body.append(v);
const say = text => fetch('/said', {method: 'POST', body: text});
v.onerror = () => say('error ' + v.error.message);
v.onloadedmetadata = () => v.play().catch(error => say('error ' + error));
const look = () => {
  if (!(v.currentTime >= Math.min(1, v.duration * 0.9))) return setTimeout(look, 50);
  say(`plays ${v.videoWidth}x${v.videoHeight}, ${v.getVideoPlaybackQuality().totalVideoFrames} frames`);
};
look();
</script></body>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ending", default=".mp4")
    parser.add_argument("--chromium", default="")
    parser.add_argument("--steps", default="16")
    parser.add_argument("--nothing", action="store_true")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in args.clips:
        copy = args.output / f"{clip.stem}{args.ending}"
        code = copied(clip, copy) if args.nothing else protected(clip, copy, args.steps)
        row = {"clip": clip.name, "exit": code}
        if copy.exists():
            row |= compared(clip, copy) | ({"browser": played(copy, args.chromium)} if args.chromium else {})
        rows.append(row)
        print(pd.DataFrame([row]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(args.output / "copies.csv", index=False)
    print(table.to_string(index=False))


def protected(clip: Path, copy: Path, steps: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "faceenc", "video", clip, copy, "--force", "--no-evidence", "--steps", steps], check=False
    ).returncode


def copied(clip: Path, copy: Path) -> int:
    with Clip(clip) as source:
        rate = source.steps if copy.suffix == ".avi" else source.rate
        with VideoFile(copy, rate=rate, tick=source.tick, colours=source.colours, sound=clip, whole=True) as out:
            for frame in source:
                out.write(source.pixels(frame), frame.time, frame.duration)
        return 0 if source.complete else 3


def compared(clip: Path, copy: Path) -> dict[str, Any]:
    """Of two files, by PyAV alone."""
    (times, packets, sound), (new_times, new_packets, new_sound) = read(clip), read(copy)
    frames = min(len(times), len(new_times))
    late = np.abs(np.subtract(times[:frames], new_times[:frames])).max()
    with Clip(clip) as one, Clip(copy) as other:
        differences = []
        for before, after in zip(one, other, strict=False):
            if before.index % 7 == 0:
                a, b = one.pixels(before).astype(float), other.pixels(after).astype(float)
                differences.append(np.abs(blocks(a) - blocks(b[: len(a), : a.shape[1]])))
        size = f"{b.shape[1]}x{b.shape[0]}"
    with av.open(str(copy)) as container:
        context = container.streams.video[0].codec_context
        tags = f"{context.colorspace}/{context.color_range}/{context.color_trc}/{context.color_primaries}"
        kind = f"{context.name} {context.profile} {context.pix_fmt}"
    moved = max((abs(p - q) for p, q in zip(sound, new_sound, strict=False)), default=0.0)
    return {
        "frames": f"{len(times)} -> {len(new_times)}", "late_ms": round(1000 * late, 2),
        "sound": f"{len(sound)} -> {len(new_sound)}", "same_sound": packets == new_packets,
        "sound_late_ms": round(1000 * moved, 2),
        "colours_90": round(float(np.percentile(np.concatenate([d.ravel() for d in differences]), 90)), 2),
        "size": size, "kind": kind, "tags": tags,
    }  # fmt: skip


def read(path: Path) -> tuple[list[float], list[bytes], list[float]]:
    """Frame times, and the packets of sound and their times; times from the first frame on."""
    times: list[float] = []
    packets: list[bytes] = []
    heard: list[float] = []
    with av.open(str(path)) as container:
        pictures = container.streams.video[0]
        for packet in container.demux():
            if packet.stream.type == "audio" and packet.pts is not None:
                packets.append(bytes(packet))
                heard.append(float(packet.pts * packet.time_base))
            elif packet.stream is pictures:
                with contextlib.suppress(av.FFmpegError):
                    times += [float(frame.time or 0) for frame in pictures.decode(packet)]
    return [time - times[0] for time in times], packets, [time - times[0] for time in heard]


def blocks(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) -> means of blocks of 16 pixels."""
    height, width = (side // 16 * 16 for side in pixels.shape[:2])
    means: NDArray[np.float64] = pixels[:height, :width].reshape(height // 16, 16, width // 16, 16, 3).mean((1, 3))
    return means


def played(copy: Path, chromium: str) -> str:
    """What the browser says of the first second."""
    said: queue.Queue[str] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = copy.read_bytes() if self.path == "/copy" else PAGE
            self.send_response(200)
            self.send_header("Content-Type", KINDS[copy.suffix] if self.path == "/copy" else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the browser has seen enough
                self.wfile.write(body)

        def do_POST(self) -> None:
            said.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        words += ["--autoplay-policy=no-user-gesture-required", f"http://127.0.0.1:{server.server_port}/"]
        browser = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return said.get(timeout=60)
        except queue.Empty:
            return "nothing within a minute"
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()


if __name__ == "__main__":
    main()
