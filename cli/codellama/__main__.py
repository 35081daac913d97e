"""Where the program starts, as `codellama` and as `python -m codellama`."""

import sys


def main() -> None:
    # the imports take a tenth of a second, in which Ctrl-C must be no traceback either
    try:
        from codellama.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
