#!/usr/bin/env python3
"""Give edited and hostile files to whatever reads files, and look for faults.

Good ground truth, result files, configs and checkpoints are damaged byte by
byte and entry by entry, and result pickles and checkpoints are written with
all instructions of pickle, shared and nested containers and calls that must
not happen. Each is given to the tools as a user would.

A file has to end in one of two ways: it works, or the tool stops with one
line, "error: ", the file and what is wrong. Of a file that works, the figures
are computed again in another way (pycocotools on what Python's own readers
find in it), and the weights are read again; they have to agree. No file may
run anything, take more than 20 seconds, or more memory than ten times its
size and 100 MB. Anything else is a defect; it is listed with its number, and
"--first NUMBER --files 1" tries it again.
"""

import argparse
import faulthandler
import sys
from pathlib import Path

from fuzz.good_files import make_files
from fuzz.trials import DEFECT, counts, make_file
from fuzz.workers import fuzz_in_processes
from tqdm import tqdm


def main() -> None:
    """Try the files, print the defects and what the files ended in."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--files', type=int, default=5400, help='how many; default: 5400'
    )
    parser.add_argument(
        '--first', type=int, default=0, help='number of the first; default: 0'
    )
    parser.add_argument(
        '--processes', type=int, default=2, help='how many at once; default: 2'
    )
    parser.add_argument(
        '--keep',
        type=Path,
        metavar='FOLDER',
        help='write the first file to a new folder, with '
        'the good ones, and stop',
    )
    args = parser.parse_args()
    if args.keep:
        files = make_files(args.keep)
        content = make_file(args.first, files, args.keep / 'ran')
        (args.keep / 'edited').write_bytes(content)
        return
    faulthandler.enable()
    numbers = range(args.first, args.first + args.files)
    trials = []
    with tqdm(total=len(numbers), desc='files', unit='file') as bar:
        for trial in fuzz_in_processes(numbers, args.processes):
            trials.append(trial)
            bar.update()
            if trial.status == DEFECT:
                bar.write(f'{trial.number} {trial.kind}: {trial.said}\n')
    print(counts(trials).text())
    sys.exit(any(trial.status == DEFECT for trial in trials))


if __name__ == '__main__':
    main()
