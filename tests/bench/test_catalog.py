"""What has a name on the command line, and what is said of a wrong one."""

import subprocess
import sys


def test_a_wrong_name_is_told_without_torch() -> None:
    code = (
        "import sys; from bench import catalog\n"
        "try: catalog.check_backend('sps:nativ')\n"
        "except ValueError as error: print(error)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, has_torch = done.stdout.splitlines()
    assert message.startswith("There is no kernel named 'nativ'. Did you mean 'native'? Known: blocked, native, ")
    assert has_torch == "False"
