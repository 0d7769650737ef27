"""The commands below ``lsegrepro data``: get photographs and make them ready."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .files import LsegreproError, printable


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``data`` and its own commands to the command line."""
    about = "Get photographs and make them ready for training."
    data = commands.add_parser("data", help=about, description=about)
    add = data.add_subparsers(required=True, metavar="COMMAND").add_parser
    _add_fetch(add)
    _add_index(add)
    _add_prepare(add)


def _add_fetch(add) -> None:
    about = "Download a public data set, checked, and unpack it below the data root; goes on where it stopped."
    fetch = add("fetch", help=about, description=about)
    fetch.set_defaults(call=_fetch)
    fetch.add_argument("name", choices=("voc2012", "pets"), metavar="NAME",
                       help="voc2012 (Pascal VOC 2012, 2.0 GB) or pets (Oxford-IIIT Pet, 0.8 GB)")
    _data_option(fetch)
    fetch.add_argument("--mirror", action="append", default=[], metavar="URL",
                       help="folder with the same files, tried before their own addresses; may be given again")
    fetch.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS",
                       help="without a byte, after which a connection is lost (default: %(default)g)")


def _add_index(add) -> None:
    about = ("List the photographs of an ImageNet where they lie, decode each once, and report what is damaged; goes "
             "on where it stopped.")
    index = add("index", help=about, description=about)
    index.set_defaults(call=_index)
    index.add_argument("root", type=Path, metavar="ROOT",
                       help="a folder of synsets (folders or tars), or a tar of them; it is only read")
    index.add_argument("--out", type=Path, metavar="FILE",
                       help="the index (default: ROOT.npz, where a profile that names ROOT finds it)")
    index.add_argument("--no-check", action="store_true", help="decode nothing: a damaged photograph ends a training")
    index.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores there are)")


def _add_prepare(add) -> None:
    about = "Prepare photographs once for all: shards of 300-pixel JPEGs, with an index; goes on where it stopped."
    prepare = add("prepare", help=about, description=about)
    prepare.set_defaults(call=_prepare)
    prepare.add_argument("source", metavar="SOURCE",
                         help="an index (.npz), or a folder of photographs as a profile names it")
    prepare.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the shards")
    prepare.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores there are)")
    prepare.add_argument("--shard-size", default="256MB", metavar="SIZE", help="of a tar, about (default: %(default)s)")


def _data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="root of the photographs (default: $LSEGREPRO_DATA)")


def _root(args: argparse.Namespace) -> Path:
    """The data root, which need not be there yet."""
    from .runs.folder import DATA_VARIABLE

    root = args.data or os.environ.get(DATA_VARIABLE)
    if not root:
        raise LsegreproError(f"say with --data, or with {DATA_VARIABLE}, below which folder the photographs go")
    return Path(root)


def _fetch(args: argparse.Namespace) -> None:
    from .data.fetch import fetch

    root = _root(args)
    folders = fetch(args.name, root, args.mirror, timeout=args.timeout, say=lambda line: print(line, file=sys.stderr))
    if args.name == "pets":
        from .data.pets import OxfordPets

        found = OxfordPets(root / "pets", "all")  # decodes each photograph once
        for name, reason in found.unreadable.items():
            print(printable(f"left out: {name}: {reason}"), file=sys.stderr)
    else:
        from .data.voc import VocSegmentation

        found = VocSegmentation(root, "val")
    print(*folders, sep="\n")
    print(found.description)


def _index(args: argparse.Namespace) -> None:
    from .data.defects import check
    from .data.imagenet import scan

    if args.workers is not None and args.workers < 1:
        raise LsegreproError(f"--workers must be at least 1, got {args.workers}")
    root = Path(os.path.abspath(args.root))  # "." has no name
    out = args.out or root.with_name(f"{root.name}.npz")
    if out.suffix != ".npz":
        raise LsegreproError(f"--out must end with .npz, got {out}")
    index, report = scan(root)
    if not args.no_check:
        index, remarks = check(index, out.with_suffix(".checked.jsonl"), workers=args.workers)
        report = report.checked(index, remarks)
    report.write(out.with_suffix(".report.jsonl"))
    index.write(out)
    print(*report.lines(), f"{out.with_suffix('.report.jsonl')} has every one with its reason", out, sep="\n")


def _prepare(args: argparse.Namespace) -> None:
    from .data.joined import open_weak
    from .data.preparation import parse_size, prepare_shards
    from .data.shards import RECORD

    if args.workers is not None and args.workers < 1:
        raise LsegreproError(f"--workers must be at least 1, got {args.workers}")
    size = parse_size(args.shard_size)
    source = open_weak("", args.source, "all", heldout=0.0)
    done = prepare_shards(source, args.out, workers=args.workers, shard_bytes=size)
    for name, reason in list(done.defective.items())[:10]:
        print(printable(f"left out: {name}: {reason}"), file=sys.stderr)
    shards = f"{done.shards} shard{'s' * (done.shards != 1)}"
    print(f"{len(done.index):,} photographs in {shards} ({done.kept} there before); {len(done.defective)} left out, "
          f"listed in {args.out / RECORD}")
    if done.photographs:
        print(f"{done.rate:.0f} photographs/s, {done.rate_per_core:.0f} a second of one core's time")
    print(args.out)
