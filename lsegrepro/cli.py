"""The command line: arguments in, a library call, a message out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from . import __version__, paper
from .arguments import DEPTHS
from .cli_data import add_commands as add_data_commands
from .ending import Terminated, flush_output, open_streams, terminable
from .files import LsegreproError, printable
from .profiles import BUILT_IN
from .runs.publish import PROFILE, PUBLISHED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0, or 2 with a line on stderr that names the thing and the cure; 130 and 143 after an interrupt and SIGTERM;
    141 where nobody reads what is printed (``| head``).
    """
    open_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    if odd := [word for word in words if "\0" in word or word.endswith("=--")]:
        # The first no shell can pass, but another program; of the second argparse makes an empty list.
        return _refuse(f"{odd[0]!r} is no option with a value; see lsegrepro --help")
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    for kind in (UserWarning, RuntimeWarning):  # of Exif that makes no sense, of many pixels: not the user's affair
        warnings.filterwarnings("ignore", category=kind, module="PIL")
    try:
        args = _parser().parse_args(words)
        with terminable():
            try:
                args.call(args)
            finally:
                flush_output()
    except LsegreproError as error:
        return _refuse(error)
    except Terminated:
        print("lsegrepro: told to end; the same command goes on from there", file=sys.stderr)
        return 143
    except BrokenPipeError:
        return 141
    except OSError as error:  # of the machine, where no call has more to say
        return _refuse(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except MemoryError:
        return _refuse("there is not enough memory for this")
    except KeyboardInterrupt:
        print("lsegrepro: interrupted; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def _refuse(why: object) -> int:
    print(f"lsegrepro: {printable(str(why))}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line too."""

    def error(self, message: str) -> None:
        self.exit(2, f"lsegrepro: {printable(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lsegrepro", description=(
        "An executable replication of Pinheiro and Collobert (2014): cats and dogs segmented from image labels."))
    parser.add_argument("--version", action="version", version=f"lsegrepro {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, call, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(call=call)
        return sub

    info = command("info", _info, "Architectures, parameter counts, versions and devices.")
    info.add_argument("--json", action="store_true", help="for programs")

    train = command("train", _train, "Train one network, go on with it, or find it finished.")
    _run_options(train)
    _network_options(train)
    train.add_argument("--stop-after", type=int, metavar="STEPS", help="stop, resumably, after so many steps")

    mine = command("mine", _mine, "Find the hard negatives that round 1 leaves.")
    _run_options(mine)
    _network_options(mine, round=False)

    regions = command("regions", _regions, "Cut a split into superpixels and count the truth in each; no network.")
    _run_options(regions)
    regions.add_argument("--split", choices=("train", "val"), default="val")

    superpixels = command("superpixels", _superpixels,
                          "Try parameters of the superpixels on train, with trained networks.")
    _run_options(superpixels)

    score = command("score", _score, "Score VOC (or the drawn pictures) with one network, into evidence.")
    _run_options(score)
    _network_options(score)
    score.add_argument("--split", choices=("train", "val"), default="val")

    experiment = command("experiment", _experiment,
                         "Train and score a variation of a run beside it; without a name, list them.")
    experiment.add_argument("name", nargs="?", metavar="NAME", help="one of profiles/experiments.toml")
    experiment.add_argument("--class", dest="cls", metavar="{cat,dog}", help="this class alone (default: every one)")
    experiment.add_argument("--no-score", action="store_true", help="train only: held-out labels, and no AP on VOC")
    _run_options(experiment)

    evaluate = command("evaluate", _evaluate, "Table 2 from the evidence of a run; computes nothing that is missing.")
    _run_options(evaluate)
    evaluate.add_argument("--json", action="store_true", help="for programs")

    segment = command("segment", _segment, "Segment photographs: probability map, mask and overlay.")
    segment.add_argument("photos", nargs="+", metavar="PHOTO", help="photographs, or folders of them")
    segment.add_argument("--class", dest="cls", required=True, metavar="{cat,dog}")
    segment.add_argument("--theta", type=float, help="threshold in [0, 1); default the one chosen on "
                         "VOC train, with --weights the paper's")
    segment.add_argument("--out", type=Path, default=Path("segmented"), help="folder (default: %(default)s)")
    segment.add_argument("--model", metavar="{max1,LSE1,max2,LSE2}", help="default LSE1, or what --weights is")
    segment.add_argument("--weights", type=Path, help="a .safetensors file; default the published network")
    segment.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")

    reproduce = command("reproduce", _reproduce, "The whole book, to HTML, from the depth that is asked for.")
    _run_options(reproduce)
    reproduce.set_defaults(profile=None)
    reproduce.add_argument("--cores", type=int, help="jobs at once (default: the cores there are)")
    reproduce.add_argument("--dry-run", action="store_true", help="only say what would be done")
    reproduce.add_argument("--snakemake-profile", metavar="DIR", help="a Snakemake profile, for a cluster")

    verify = command("verify", _verify, "Whether the published numbers come out again here, line by line.")
    verify.add_argument("--depth", choices=DEPTHS, help="default the deepest of evidence and weights that can be done")
    verify.add_argument("--profile", default=PROFILE, help="of the published run (default: %(default)s)")
    verify.add_argument("--run", type=Path, metavar="DIR", help="the published run (default: the repository's)")
    verify.add_argument("--data", type=Path, metavar="DIR", help="root of the photographs (default: $LSEGREPRO_DATA)")
    verify.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    verify.add_argument("--images", type=int, metavar="N",
                        help="at depth weights, score N images, evenly spaced; 0 is all (default: all on a GPU)")
    verify.add_argument("--work", type=Path, metavar="DIR", default=Path("runs/verify"),
                        help="folder for what is computed on the way (default: %(default)s)")
    verify.add_argument("--json", action="store_true", help="for programs")

    publish = command("publish", _publish, "Make a finished run the published one, without its photographs.")
    _run_options(publish)

    notebook = command("notebook", _notebook, "Run one notebook of the book with papermill, into the run's folder.")
    notebook.add_argument("name", metavar="NAME", help="01-data ... 10-experiments")
    notebook.add_argument("--stand-in", action="store_true", help="show no photograph of the data, for publication")
    _run_options(notebook)

    site = command("site", _site, "Build the HTML from the published pages and the notebooks a run has executed.")
    _run_options(site)

    add_data_commands(commands)
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="quick", help=f"{', '.join(BUILT_IN)} or a .toml file (default: quick)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of results (default: runs/PROFILE)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="root of the photographs (default: $LSEGREPRO_DATA)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--depth", choices=DEPTHS, default="scratch",
                        help="begin at the published evidence, at the published weights, or from scratch (default)")


def _network_options(parser: argparse.ArgumentParser, round: bool = True) -> None:
    parser.add_argument("--model", required=True, metavar="{max1,LSE1,max2,LSE2}")
    parser.add_argument("--class", dest="cls", required=True, metavar="{cat,dog}")
    parser.add_argument("--seed", type=int, default=0)
    if round:
        parser.add_argument("--round", type=int, default=1, metavar="{1,2}")


def _open(args: argparse.Namespace, **options):
    from .runs.run import open_run

    return open_run(args.profile, args.run, data=args.data, device=args.device, depth=args.depth, **options)


def _at_least_1(value: int | None, option: str) -> None:
    if value is not None and value < 1:
        raise LsegreproError(f"{option} must be at least 1, got {value}")


def _info(args: argparse.Namespace) -> None:
    import numpy
    import torch

    from .network.classify import has_bfloat16
    from .training.loop import device_name, versions

    networks = {
        name: {"parameters": a.parameters, "printed": a.printed_parameters, "hidden": a.hidden, "patch": a.patch,
               "patches": a.patches}
        for name, a in paper.ARCHITECTURES.items()
    }
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cpu = torch.device("cpu")
    half = has_bfloat16(cpu)
    facts = {"architectures": networks, "versions": versions() | {"numpy": numpy.__version__},
             "devices": {"cpu_threads": torch.get_num_threads(), "cpu_bfloat16": half, "gpus": gpus}}
    if args.json:
        print(json.dumps(facts, indent=2))
        return
    for name, network in networks.items():
        print(f"{name:11}{network['parameters']:9,} parameters ({network['printed']:,} printed), units "
              f"{'-'.join(map(str, network['hidden']))}-2, {network['patches']} patches of {network['patch']} pixels")
    print(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    print(f"{device_name(cpu)}, {'with' if half else 'without'} bfloat16; GPUs: {', '.join(gpus) or 'none'}")


def _train(args: argparse.Namespace) -> None:
    _at_least_1(args.stop_after, "--stop-after")
    run = _open(args)
    print(run.trained(args.model, args.cls, args.round, args.seed, stop_after=args.stop_after))


def _mine(args: argparse.Namespace) -> None:
    print(_open(args).mined(args.model, args.cls, args.seed))


def _regions(args: argparse.Namespace) -> None:
    run = _open(args)
    run.regions(args.split)
    print(run.regions_path(args.split))


def _superpixels(args: argparse.Namespace) -> None:
    from .runs.sensitivity import record_path, search

    run = _open(args)
    record = search(run)
    print(f"{'scale':>6}{'sigma':>7}{'min_size':>10}{'superpixels':>13}  AP in percent on train: "
          + ", ".join(record.networks))
    for s in record.settings:
        print(f"{s.params.scale:6g}{s.params.sigma:7g}{s.params.min_size:10}{s.superpixels:13.0f}  "
              + " ".join(f"{100 * record.ap(s, network):.2f}" for network in record.networks)
              + " (chosen)" * (s is record.chosen))
    print(record_path(run))


def _score(args: argparse.Namespace) -> None:
    run = _open(args)
    run.scores(args.model, args.cls, args.round, args.seed, args.split)
    print(run.scores_path(args.model, args.cls, args.round, args.seed, args.split))


def _experiment(args: argparse.Namespace) -> None:
    from .runs import experiments
    from .runs.facts import fact_path

    run = _open(args)
    if args.name is None:
        for name, each in experiments.experiments(run.profile).items():
            left = experiments.undone(run, name)
            state = "done" if not left else "to do" if left == list(run.profile.classes) else f"to do: {' '.join(left)}"
            print(f"{name:23}{state:12}{each.question:15}{', '.join(each.models)}, round {each.round}")
        return
    classes = (args.cls,) if args.cls else ()
    for name, found in experiments.perform(run, args.name, classes=classes, score=not args.no_score).items():
        print(f"{name:24}{found.samples:11,} images seen, {found.hours:.2f} hours, held-out accuracy "
              f"{100 * found.final.get('heldout_accuracy', math.nan):.1f} %"
              + ("" if found.ap is None else f", AP {100 * found.ap:.2f} % at theta {found.theta:.3f}"))
    print(fact_path(run, f"experiment-{args.name}"))


def _evaluate(args: argparse.Namespace) -> None:
    from .runs.results import coverage, result

    run = _open(args, compute=False)
    rows = [result(run, *n) for n in run.networks() if run.has_scores(*n) and run.has_scores(*n, "train")]
    if not rows:
        raise LsegreproError(f"no evidence in {run.folder}: score first, or name another folder with --run")
    if args.json:
        found = {"coverage": coverage(run.regions("val")), "results": [dataclasses.asdict(r) for r in rows]}
        print(json.dumps(_without_nan(found), indent=2, allow_nan=False))
        return
    print(f"AP in percent on {coverage(run.regions('val'))}, with 95 % intervals; theta chosen on train")
    print(f"{'model':6}{'class':6}{'round':>6}{'theta':>7}{'AP':>7}  {'interval':14}{'oracle':>7}{'paper':>7}")
    for r in rows:
        low, high = r.chosen.ap.low * 100, r.chosen.ap.high * 100
        print(f"{r.model:6}{r.cls:6}{r.round:6}{r.chosen.theta:7.3f}{r.chosen.ap.value * 100:7.2f}  "
              f"{f'[{low:.2f}, {high:.2f}]':14}{r.oracle.ap.value * 100:7.2f}{paper.TABLE_2[r.model][r.cls].ap:7.2f}")


def _without_nan(value):
    """The same value with null in place of nan, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _segment(args: argparse.Namespace) -> None:
    from .runs.segment import segment_files

    failures = segment_files(args.photos, args.cls, out=args.out, theta=args.theta, model=args.model,
                             weights=args.weights, device=args.device)
    if failures:
        raise LsegreproError(f"{failures} of the photographs could not be segmented; each is named above")


def _reproduce(args: argparse.Namespace) -> None:
    from .book.site import reproduce

    _at_least_1(args.cores, "--cores")
    args.profile = args.profile or ("quick" if args.depth == "scratch" else PROFILE)
    if args.depth == "evidence" and args.profile == PROFILE:
        args.run = args.run or PUBLISHED
    reproduce(_open(args), cores=args.cores, dry_run=args.dry_run, snakemake_profile=args.snakemake_profile)
    if args.depth == "weights" and not args.dry_run:
        args.work, args.images, args.json, args.run = _open(args).folder, 0, False, None
        _verify(args)


def _verify(args: argparse.Namespace) -> None:
    from .runs.run import open_run
    from .runs.verify import verify

    run = open_run(args.profile, args.run or PUBLISHED, data=args.data, device=args.device, compute=False)
    check = verify(run, args.depth, images=args.images, work=args.work)
    if not args.json:
        print("This machine can reproduce from")
        for depth in check.machine:
            print(f"  {depth.name:9} {'yes' if depth.can else 'no '}  {depth.why}")
        print(f"Doing: {check.depth}", *(f"Note: {note}" for note in check.notes), sep="\n", flush=True)
    verdicts = []
    for verdict in check.verdicts:
        verdicts.append(verdict)
        if not args.json:
            print(verdict.line, flush=True)
    if args.json:
        print(json.dumps({"machine": [dataclasses.asdict(depth) for depth in check.machine], "depth": check.depth,
                          "notes": check.notes, "verdicts": [dataclasses.asdict(v) for v in verdicts]}, indent=2))
    differing = sum(not v.same for v in verdicts)
    if differing:
        raise LsegreproError(f"{differing} of {len(verdicts)} numbers differ from the published ones")
    if not args.json:
        print(f"All {len(verdicts)} numbers are the published ones.")


def _publish(args: argparse.Namespace) -> None:
    from .book.site import publish_pages

    for page in publish_pages(_open(args)):
        print(page)


def _notebook(args: argparse.Namespace) -> None:
    from .book.site import execute

    print(execute(_open(args), args.name, stand_in=args.stand_in))


def _site(args: argparse.Namespace) -> None:
    from .book.site import build

    print(build(_open(args)))


if __name__ == "__main__":
    sys.exit(main())
