"""Where the program starts, as `codellama` and as `python -m codellama`."""

import sys


def main() -> None:
    # the imports take a tenth of a second, in which Ctrl-C must be no traceback either
    try:
        if sys.argv[1:2] == ["__complete"]:
            # what a completion script asks for; a TAB must not wait for the command tree
            from codellama.completion.values import main as answer

            answer(sys.argv[2:])
            return
        from codellama.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
