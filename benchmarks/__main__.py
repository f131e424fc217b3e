"""Compare training by `fit` with the usual way, in one table: python -m benchmarks [PART ...] [--seeds 3]

speed: a step of each side, in turn, and the bare matrix products (a minute). footprint: memory and imports (a minute).
race: seconds to a held-out loss (up to half an hour). Without a name, all of them. More: python -m benchmarks.profile,
python -m benchmarks.race --search, python -m benchmarks.slider_latency.
"""

import argparse

from benchmarks import footprint, race, report, speed


def main() -> None:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="speed, footprint, race; all of them by default")
    parser.add_argument("--seeds", type=int, default=3, help="of the race")
    options = parser.parse_args()
    ways = {"speed": speed.measure, "footprint": footprint.measure, "race": lambda: race.measure(options.seeds)}
    if unknown := set(options.parts) - set(ways):
        parser.error(f"part must be one of {', '.join(ways)}, not {', '.join(sorted(unknown))}")
    print(f"{report.machine()}\n\n{report.HEADER}", flush=True)
    for name in options.parts or ways:
        print(*ways[name](), sep="\n", flush=True)


if __name__ == "__main__":
    main()
