"""The command line: arguments in, a library call, a message out."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from . import __version__, paper
from .config import BUILT_IN, DEPTHS
from .files import LsegreproError, printable
from .runs.folder import DATA_VARIABLE, RunFolder, open_run
from .runs.publish import PROFILE, PUBLISHED

FOLDER = click.Path(path_type=Path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0, or 2 with a line on stderr that names the thing and the cure; 130 and 143 after Ctrl-C and SIGTERM; 141 where
    nobody reads what is printed (``| head``).
    """
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    for kind in (UserWarning, RuntimeWarning):  # of Exif that makes no sense, of many pixels: not the user's affair
        warnings.filterwarnings("ignore", category=kind, module="PIL")
    before = signal.signal(signal.SIGTERM, _terminate)
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        with lsegrepro.make_context("lsegrepro", words or ["--help"]) as context:
            lsegrepro.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    except click.ClickException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "lsegrepro")
        return _refuse(f"{error.format_message()} See {command} --help")
    except LsegreproError as error:
        return _refuse(error)
    except BrokenPipeError:
        _discard_output()
        return 141
    except OSError as error:  # of the machine, where no call has more to say
        _discard_output()
        return _refuse(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except MemoryError:
        return _refuse("there is not enough memory for this")
    except KeyboardInterrupt:
        print("lsegrepro: interrupted; the same command goes on from there", file=sys.stderr)
        return 130
    except SystemExit as end:
        print("lsegrepro: told to end; the same command goes on from there", file=sys.stderr)
        return end.code
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _terminate(*_: object) -> None:
    """End as after Ctrl-C when a batch system says so (SIGTERM); once is enough."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _refuse(why: object) -> int:
    print(f"lsegrepro: {printable(' '.join(str(why).split(chr(10))))}", file=sys.stderr)
    return 2


def _discard_output() -> None:
    """Let go what cannot be written to stdout any more, or Python would try again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group()
@click.version_option(__version__, prog_name="lsegrepro", message="%(prog)s %(version)s")
def lsegrepro() -> None:
    """An executable replication of Pinheiro and Collobert (2014): cats and dogs segmented from image labels."""


def _options(*options: Callable) -> Callable:
    return lambda command: functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


data_option = click.option("--data", type=FOLDER, help=f"Root of the photographs (default: ${DATA_VARIABLE}).")
device_option = click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.", show_default=True)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
class_option = click.option("--class", "cls", required=True, metavar="{cat,dog}")
seed_option = click.option("--seed", type=int, default=0)
split_option = click.option("--split", type=click.Choice(("train", "val")), default="val", show_default=True)


def takes_run(command: Callable) -> Callable:
    """The options of every command that works on a run, which it gets opened as its first argument."""

    @functools.wraps(command)
    def with_run(profile, run, data, device, depth, **options):
        profile = profile or ("quick" if depth == "scratch" else PROFILE)
        if depth == "evidence" and profile == PROFILE:
            run = run or PUBLISHED
        return command(open_run(profile, run, data=data, device=device, depth=depth), **options)

    return _options(
        click.option("--profile", help=f"{', '.join(BUILT_IN)} or a .toml file (default: quick, or the published run's "
                                       "where the depth is not scratch)."),
        click.option("--run", type=FOLDER, help="Folder of results (default: runs/PROFILE)."),
        data_option, device_option,
        click.option("--depth", type=click.Choice(DEPTHS), default="scratch", show_default=True,
                     help="Begin at the published evidence, at the published weights, or from scratch."),
    )(with_run)


@lsegrepro.command()
@json_option
def info(as_json: bool) -> None:
    """Architectures, parameter counts, versions and devices."""
    import numpy
    import torch

    from .network.devices import device_name, has_bfloat16, versions

    networks = {a.name: {"parameters": a.parameters, "printed": a.printed_parameters, "hidden": a.hidden,
                         "patch": a.patch, "patches": a.patches} for a in paper.ARCHITECTURES.values()}
    cpu, gpus = torch.device("cpu"), [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    record = {"architectures": networks, "versions": versions() | {"numpy": numpy.__version__},
              "devices": {"cpu_threads": torch.get_num_threads(), "cpu_bfloat16": has_bfloat16(cpu), "gpus": gpus}}
    if as_json:
        return print(json.dumps(record, indent=2))
    for name, network in networks.items():
        print(f"{name:11}{network['parameters']:9,} parameters ({network['printed']:,} printed), units "
              f"{'-'.join(map(str, network['hidden']))}-2, {network['patches']} patches of {network['patch']} pixels")
    print(", ".join(f"{name} {version}" for name, version in record["versions"].items()))
    print(f"{device_name(cpu)}, {'with' if has_bfloat16(cpu) else 'without'} bfloat16; "
          f"GPUs: {', '.join(gpus) or 'none'}")


@lsegrepro.command()
@click.argument("name", type=click.Choice(("voc2012", "pets")))
@data_option
def fetch(name: str, data: Path | None) -> None:
    """Download a public data set.

    voc2012 is Pascal VOC 2012 (2.0 GB), pets Oxford-IIIT Pet (0.8 GB); checked, and unpacked below the data root.
    """
    from .data.fetch import fetch

    root = data or os.environ.get(DATA_VARIABLE)
    if not root:
        raise LsegreproError(f"say with --data, or with {DATA_VARIABLE}, below which folder the photographs go")
    print(*fetch(name, Path(root)), sep="\n")


@lsegrepro.command()
@click.argument("source", type=FOLDER)
@click.argument("target", type=FOLDER)
@click.option("--workers", type=click.IntRange(min=1), help="Processes (default: the cores there are).")
def prepare(source: Path, target: Path, workers: int | None) -> None:
    """Scale the photographs of an ImageNet.

    From SOURCE, a folder a synset, to a short side of 300 pixels in TARGET; goes on where it stopped.
    """
    from .data.imagenet import prepare_imagenet
    from .data.images import describe_others

    done = prepare_imagenet(source, target, workers)
    for name, reason in list(done.unreadable.items())[:10]:
        print(printable(f"left out: {name}: {reason}"), file=sys.stderr)
    print(f"{done.written:,} photographs scaled, {done.skipped:,} there before, {len(done.unreadable):,} unreadable"
          f"{describe_others(done.left_out)}")
    print(target)


@lsegrepro.command()
@takes_run
@click.option("--model", required=True, metavar="{max1,LSE1,max2,LSE2}")
@class_option
@click.option("--round", type=int, default=1, help="1, or 2 with the hard negatives of round 1.", show_default=True)
@seed_option
@click.option("--stop-after", type=click.IntRange(min=1), help="Stop, resumably, after so many steps.")
def train(run: RunFolder, model: str, cls: str, round: int, seed: int, stop_after: int | None) -> None:
    """Train one network, or go on with it."""
    from .runs.make import train_network

    print(train_network(run, model, cls, round, seed, stop_after=stop_after))


@lsegrepro.command()
@takes_run
@click.option("--model", required=True, metavar="{max1,LSE1,max2,LSE2}")
@class_option
@seed_option
def mine(run: RunFolder, model: str, cls: str, seed: int) -> None:
    """Mine the hard negatives of a network of round 1."""
    from .runs.make import mine_negatives

    print(mine_negatives(run, model, cls, seed))


@lsegrepro.command()
@takes_run
@click.option("--model", metavar="{max1,LSE1,max2,LSE2}", help="Without it, only superpixels, and the truth in each.")
@click.option("--class", "cls", metavar="{cat,dog}")
@click.option("--round", type=int, default=1, show_default=True)
@seed_option
@split_option
def score(run: RunFolder, model: str | None, cls: str | None, round: int, seed: int, split: str) -> None:
    """Score test images with a network.

    First, without --model, cut them into superpixels and count the truth in each.
    """
    from .runs.make import count_regions, score_network

    if (model is None) != (cls is None):
        raise LsegreproError("give --model and --class both, or neither to count the superpixels alone")
    print(score_network(run, model, cls, round, seed, split) if model else count_regions(run, split))


@lsegrepro.command()
@takes_run
@json_option
def evaluate(run: RunFolder, as_json: bool) -> None:
    """Table 2 from the scores of a run."""
    from .runs.results import coverage, result

    rows = [result(run, *n) for n in run.networks() if run.has_scores(*n) and run.has_scores(*n, split="train")]
    if not rows:
        raise LsegreproError(f"no evidence in {run.folder}: score first, or name another folder with --run")
    images = coverage(run.regions("val"))
    if as_json:
        record = {"coverage": images, "results": [dataclasses.asdict(r) for r in rows]}
        return print(json.dumps(_without_nan(record), indent=2, allow_nan=False))
    print(f"AP in percent on {images}, with 95 % intervals; theta chosen on train")
    print(f"{'model':6}{'class':6}{'round':>6}{'theta':>7}{'AP':>7}  {'interval':14}{'oracle':>7}{'paper':>7}")
    for r in rows:
        interval = f"[{r.chosen.ap.low * 100:.2f}, {r.chosen.ap.high * 100:.2f}]"
        print(f"{r.model:6}{r.cls:6}{r.round:6}{r.chosen.theta:7.3f}{r.chosen.ap.value * 100:7.2f}  {interval:14}"
              f"{r.oracle.ap.value * 100:7.2f}{paper.TABLE_2[r.model][r.cls].ap:7.2f}")


def _without_nan(value):
    """The same value with null in place of nan, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


@lsegrepro.command()
@click.argument("photos", nargs=-1, required=True)
@class_option
@click.option("--theta", type=float, help="Threshold in [0, 1) (default: chosen on VOC train; with --weights the "
                                          "paper's).")
@click.option("--out", type=FOLDER, default="segmented", show_default=True, help="Folder of the results.")
@click.option("--model", metavar="{max1,LSE1,max2,LSE2}", help="Default LSE1, or what --weights is.")
@click.option("--weights", type=FOLDER, help="A .safetensors file (default: the published network).")
@device_option
def segment(photos: tuple[str, ...], **options) -> None:
    """Segment photographs, or folders of them."""
    from .runs.segment import segment_files

    if failures := segment_files(photos, **options):
        raise LsegreproError(f"{failures} of the photographs could not be segmented; each is named above")


@lsegrepro.command()
@click.argument("name", required=False)
@click.option("--class", "cls", metavar="{cat,dog}", help="This class alone (default: every one).")
@click.option("--no-score", is_flag=True, help="Train only: held-out labels, and no AP on VOC.")
@takes_run
def experiment(run: RunFolder, name: str | None, cls: str | None, no_score: bool) -> None:
    """Train and score a variation of a run.

    NAME is one of profiles/experiments.toml; without it, list them.
    """
    from .runs import experiments

    if name is None:
        for name, listed in experiments.load_experiments(run.profile).items():
            left = experiments.missing(run, name)
            state = "done" if not left else "to do" if left == list(run.profile.classes) else f"to do: {' '.join(left)}"
            print(f"{name:23}{state:12}{listed.question:15}{', '.join(listed.models)}, round {listed.round}")
        return
    results = experiments.run_experiment(run, name, classes=(cls,) if cls else (), score=not no_score)
    for network, r in results.items():
        print(f"{network:24}{r.samples:11,} images seen, {r.hours:.2f} hours, held-out accuracy "
              f"{100 * r.final.get('heldout_accuracy', math.nan):.1f} %"
              + ("" if r.ap is None else f", AP {100 * r.ap:.2f} % at theta {r.theta:.3f}"))
    print(experiments.result_path(run, name))


@lsegrepro.command()
@click.option("--superpixels", is_flag=True, help="Try other parameters of the superpixels on train, too (hours).")
@takes_run
def statistics(run: RunFolder, superpixels: bool) -> None:
    """Compute what pages say of photographs, masks and weights, where these are."""
    from .runs.statistics import statistics_path, write_statistics
    from .runs.superpixel_search import choose_setting, search_superpixels

    print(*write_statistics(run), sep="\n")
    if superpixels:
        print(choose_setting(search_superpixels(run)).params, statistics_path(run, "superpixels"), sep="\n")


@lsegrepro.command()
@click.option("--depth", type=click.Choice(DEPTHS), default="evidence", show_default=True)
@click.option("--profile", default=PROFILE, show_default=True, help="Of the published run.")
@click.option("--run", type=FOLDER, default=PUBLISHED, help="The published run (default: the repository's).")
@data_option
@device_option
@click.option("--images", type=click.IntRange(min=0), default=48, show_default=True,
              help="At depth weights, score so many images, evenly spaced; 0 is all.")
@click.option("--work", type=FOLDER, default="runs/verify", show_default=True, help="Folder for what is computed.")
def verify(depth: str, profile: str, run: Path, data: Path | None, device: str, images: int, work: Path) -> None:
    """Check that the published results come out again."""
    _verify(open_run(profile, run, data=data, device=device), depth, images, work)


def _verify(run: RunFolder, depth: str, images: int, work: Path) -> None:
    from .runs.verify import verify

    lines = verify(run, depth, images=images, work=work)
    print(*lines, sep="\n")
    results = sum(line.of for line in lines)
    if differing := [line for line in lines if line.differing]:
        raise LsegreproError(f"{sum(line.of - line.same for line in differing)} of {results} results differ from the "
                             f"published ones; the first is {differing[0].what} of {differing[0].differing}")
    print(f"All {results:,} results are the published ones.")


@lsegrepro.command()
@takes_run
@click.option("--cores", type=click.IntRange(min=1), help="For all jobs (default: those this process may use).")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--snakemake-profile", metavar="DIR", help="A Snakemake profile, for a cluster.")
def reproduce(run: RunFolder, cores: int | None, dry_run: bool, snakemake_profile: str | None) -> None:
    """Make a whole run and the book, to HTML."""
    from .book.site import reproduce

    reproduce(run, jobs=cores, dry_run=dry_run, snakemake_profile=snakemake_profile)
    if run.depth == "weights" and not dry_run:
        _verify(dataclasses.replace(run, folder=PUBLISHED), "weights", 0, run.folder)


@lsegrepro.command()
@takes_run
def publish(run: RunFolder) -> None:
    """Make a finished run the published one."""
    from .book.site import publish_pages

    print(*publish_pages(run), sep="\n")


@lsegrepro.command()
@click.argument("name")
@click.option("--stand-in", is_flag=True, help="Show no photograph of the data, for publication.")
@takes_run
def notebook(run: RunFolder, name: str, stand_in: bool) -> None:
    """Execute one notebook of the book."""
    from .book.site import execute

    print(execute(run, name, stand_in=stand_in))


@lsegrepro.command()
@takes_run
def site(run: RunFolder) -> None:
    """Build the HTML of the book from executed notebooks."""
    from .book.site import build

    print(build(run))


if __name__ == "__main__":
    sys.exit(main())
