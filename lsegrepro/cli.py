"""The command line: arguments in, a library call, a message out."""

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click

from . import __version__, paper
from .config import BUILT_IN, DEPTHS
from .files import LsegreproError, printable
from .runs.folder import DATA_VARIABLE, SPLITS, RunFolder, open_run
from .runs.published import PROFILE, PUBLISHED

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
        return _say(f"{' '.join(error.format_message().split())} See {command} --help", 2)
    except LsegreproError as error:
        return _say(str(error), 2)
    except OSError as error:  # of the machine, where no call has more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would write again as it ends
        if isinstance(error, BrokenPipeError):
            return 141
        return _say(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 2)
    except (MemoryError, RuntimeError) as error:
        words = ("allocate memory", "not enough memory", "out of memory")  # torch's own errors; a worker is killed
        if not isinstance(error, (MemoryError, BrokenProcessPool)) and not any(text in str(error) for text in words):
            raise
        return _say("there is not enough memory for this", 2)
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on from there", 130)
    except SystemExit as end:
        return _say("told to end; the same command goes on from there", end.code)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _terminate(*_: object) -> None:
    """End as after Ctrl-C when a batch system says so (SIGTERM); once is enough."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _say(message: str, code: int) -> int:
    print(f"lsegrepro: {printable(message)}", file=sys.stderr)
    return code


@click.group()
@click.version_option(__version__, prog_name="lsegrepro", message="%(prog)s %(version)s")
def lsegrepro() -> None:
    """An executable replication of Pinheiro and Collobert (2014): cats and dogs segmented from image labels."""


data_option = click.option("--data", type=FOLDER, help=f"Root of the photographs (default: ${DATA_VARIABLE}).")
device_option = click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.", show_default=True)
model_option = click.option("--model", type=click.Choice(list(paper.MODELS)), required=True)
class_option = click.option("--class", "cls", type=click.Choice(paper.CLASSES), required=True)
round_option = click.option("--round", type=int, default=1, show_default=True,
                            help="1, or 2 with the hard negatives of round 1.")
seed_option = click.option("--seed", type=int, default=0, show_default=True)


def takes_run(command: Callable) -> Callable:
    """The options of every command that works on a run, which it gets opened as its first argument."""

    @click.option("--profile", help=f"{', '.join(BUILT_IN)} or a .toml file (default: quick, or the published run's "
                                    "where the depth is not scratch).")
    @click.option("--run", type=FOLDER, help="Folder of results (default: runs/PROFILE).")
    @data_option
    @device_option
    @click.option("--depth", type=click.Choice(DEPTHS), default="scratch", show_default=True,
                  help="Begin at the published evidence, at the published weights, or from scratch.")
    @functools.wraps(command)
    def with_run(profile, run, data, device, depth, **others):
        profile = profile or ("quick" if depth == "scratch" else PROFILE)
        if depth == "evidence" and profile == PROFILE:
            run = run or PUBLISHED
        return command(open_run(profile, run, data=data, device=device, depth=depth), **others)

    return with_run


@lsegrepro.command()
@click.argument("name", type=click.Choice(("voc2012", "pets", "imagenet")))
@click.argument("source", type=FOLDER, required=False)
@data_option
def prepare(name: str, source: Path | None, data: Path | None) -> None:
    """Prepare a data set below the root of the photographs.

    voc2012 is Pascal VOC 2012 (2.0 GB), pets Oxford-IIIT Pet (0.8 GB): downloaded, checked and unpacked. imagenet
    scales the photographs in SOURCE, a folder a synset, to a short side of 300 pixels, and goes on where it stopped.
    """
    from .data.fetch import fetch
    from .data.imagenet import prepare_imagenet
    from .data.images import describe_others

    root = data or os.environ.get(DATA_VARIABLE)
    if not root:
        raise LsegreproError(f"say with --data, or with {DATA_VARIABLE}, below which folder the photographs go")
    if name != "imagenet":
        if source:
            raise LsegreproError(f"{name} is downloaded and has no SOURCE: say with --data where it goes")
        return print(*fetch(name, Path(root)), sep="\n")
    if source is None:
        raise LsegreproError("name the folder of an ImageNet, which has a folder a synset: prepare imagenet SOURCE")
    done = prepare_imagenet(source, Path(root) / "imagenet")
    print(f"{done.written:,} photographs scaled, {done.skipped:,} there before, {len(done.unreadable):,} unreadable "
          f"(listed in unreadable.json){describe_others(done.left_out)}", Path(root) / "imagenet", sep="\n")


@lsegrepro.command()
@takes_run
@model_option
@class_option
@round_option
@seed_option
def train(run: RunFolder, **network) -> None:
    """Train one network, or go on with it."""
    from .runs.make import train_network

    print(train_network(run, **network))


@lsegrepro.command()
@takes_run
@model_option
@class_option
@seed_option
def mine(run: RunFolder, **network) -> None:
    """Mine the hard negatives of a network of round 1."""
    from .runs.make import mine_negatives

    print(mine_negatives(run, **network))


@lsegrepro.command()
@takes_run
@click.option("--model", type=click.Choice(list(paper.MODELS)),
              help="Without it, only superpixels, and the truth in each.")
@click.option("--class", "cls", type=click.Choice(paper.CLASSES))
@round_option
@seed_option
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True)
def score(run: RunFolder, split: str, **network) -> None:
    """Score test images with a network.

    First, without --model, cut them into superpixels and count the truth in each.
    """
    from .runs.make import make_regions, score_network

    if (network["model"] is None) != (network["cls"] is None):
        raise LsegreproError("give --model and --class both, or neither to count the superpixels alone")
    print(score_network(run, **network, split=split) if network["model"] else make_regions(run, split))


@lsegrepro.command()
@takes_run
def evaluate(run: RunFolder) -> None:
    """Table 2 from the scores of a run."""
    from . import evaluation
    from .runs.results import choose_theta, coverage

    networks = [n for n in run.networks() if all(run.has_scores(*n, split) for split in SPLITS)]
    if not networks:
        raise LsegreproError(f"no evidence in {run.folder}: score first, or name another folder with --run")
    print(f"AP in percent on {coverage(run.regions('val'))}, with 95 % intervals; theta chosen on train")
    print(f"{'network':24}{'theta':>7}{'AP':>7}  {'interval':14}{'oracle':>7}{'paper':>7}")
    for network in networks:
        theta, best = (choose_theta(run, *network, at=at) for at in ("train", "oracle"))
        counts = evaluation.per_image_counts(run.regions("val"), run.scores(*network), theta=theta)
        ap, oracle = evaluation.bootstrap(counts), evaluation.ap(run.smoothed(*network).at(best))
        interval = f"[{ap.low * 100:.2f}, {ap.high * 100:.2f}]"
        print(f"{run.name(*network):24}{theta:7.3f}{ap.value * 100:7.2f}  {interval:14}{oracle * 100:7.2f}"
              f"{paper.TABLE_2[network[0]][network[1]].ap:7.2f}")


@lsegrepro.command()
@takes_run
def statistics(run: RunFolder) -> None:
    """Compute what pages say of photographs, masks and weights."""
    from .runs.statistics import write_statistics

    print(*write_statistics(run), sep="\n")


@lsegrepro.command()
@click.argument("name", required=False)
@click.option("--class", "cls", type=click.Choice(paper.CLASSES), help="This class alone (default: every one).")
@takes_run
def experiment(run: RunFolder, name: str | None, cls: str | None) -> None:
    """Train and score a variation of a run.

    NAME is one of profiles/experiments.toml; without it, list them. The name superpixels tries other parameters of the
    superpixels on train (hours).
    """
    from . import evaluation
    from .runs import experiments, superpixel_search

    if name is None:
        for name, listed in experiments.load_experiments(run.profile).items():
            left = " ".join(experiments.missing(run, name))
            print(f"{name:23}{f'to do: {left}' if left else 'done':16}{', '.join(listed.models)}, round {listed.round}")
    elif name == "superpixels":
        print(superpixel_search.choose_setting(superpixel_search.search_superpixels(run)).params)
    else:
        results = experiments.run_experiment(run, name, cls)
        for network, r in results.items():
            ap = evaluation.ap(r.counts.sum(axis=0))
            print(f"{network:24}{r.samples:11,} images seen, AP {100 * ap:.2f} % at theta {r.theta:.3f}")
        print(experiments.result_path(run, name))


@lsegrepro.command()
@click.argument("photos", nargs=-1, required=True)
@class_option
@click.option("--theta", type=float, help="Threshold in [0, 1) (default: chosen on VOC train; with --weights the "
                                          "paper's).")
@click.option("--out", type=FOLDER, default="segmented", show_default=True, help="Folder of the results.")
@click.option("--model", type=click.Choice(list(paper.MODELS)), help="Default LSE1, or what --weights is.")
@click.option("--weights", type=FOLDER, help="A .safetensors file (default: the published network).")
@device_option
def segment(photos: tuple[str, ...], **choices) -> None:
    """Segment photographs, or folders of them."""
    from .runs.segment import segment_files

    if failures := segment_files(photos, **choices):
        raise LsegreproError(f"{failures} of the photographs could not be segmented; each is named above")


@lsegrepro.command()
@click.option("--depth", type=click.Choice(("evidence", "weights")), default="evidence", show_default=True)
@click.option("--profile", default=PROFILE, show_default=True, help="Of the published run.")
@click.option("--run", type=FOLDER, default=PUBLISHED, help="The published run (default: the repository's).")
@data_option
@device_option
@click.option("--images", type=click.IntRange(min=0), default=50, show_default=True,
              help="At depth weights, score so many images, evenly spaced; 0 is all.")
def verify(depth: str, profile: str, run: Path, data: Path | None, device: str, images: int) -> None:
    """Check that the published results come out again.

    What depth weights computes is kept in runs/verify, from which the same command goes on.
    """
    from .runs.verify import compare_scores
    from .runs.verify import verify as compare_results

    published = open_run(profile, run, data=data, device=device)
    lines = compare_results(published)
    if depth == "weights":
        lines += compare_scores(published, images, Path("runs/verify"))
    print(*lines, sep="\n")
    if differing := [line for line in lines if line.differing]:
        raise LsegreproError(f"{sum(line.of - line.same for line in differing)} results differ from the published "
                             f"ones; the first is {differing[0].what} of {differing[0].differing}")
    print(f"All {sum(line.of for line in lines):,} results are the published ones.")


@lsegrepro.command()
@takes_run
@click.option("--cores", "jobs", type=click.IntRange(min=1), help="For all jobs (default: those this process may use).")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--snakemake-profile", metavar="DIR", help="A Snakemake profile, for a cluster.")
def reproduce(run: RunFolder, **choices) -> None:
    """Make a whole run and the book, to HTML."""
    from .book.site import reproduce

    reproduce(run, **choices)


@lsegrepro.command()
@click.argument("name", required=False)
@click.option("--stand-in", is_flag=True, help="Show no photograph of the data, for publication.")
@takes_run
def book(run: RunFolder, name: str | None, stand_in: bool) -> None:
    """Execute the notebook NAME, or build the HTML.

    The HTML is made of the published pages and of those that the run has executed.
    """
    from .book.site import build, execute

    print(execute(run, name, stand_in=stand_in) if name else build(run))


if __name__ == "__main__":
    sys.exit(main())
