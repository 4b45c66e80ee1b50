#!/usr/bin/env python3
"""Writes the file of a probe again, with the budget that is recommended where it judges beside an encoder (joint.mjs)."""
import argparse
import pathlib

import gguf

KEY = "inferenceguard.joint_threshold"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probe", type=pathlib.Path, required=True, help="file that train-cost made; it is replaced")
    parser.add_argument("--budget", type=float, required=True)
    arguments = parser.parse_args()

    probe = gguf.GGUFReader(arguments.probe)
    partial = arguments.probe.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, "inferenceguard")
    for name, field in probe.fields.items():
        if name.startswith("inferenceguard.") and name != KEY:
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    writer.add_key_value(KEY, arguments.budget, gguf.GGUFValueType.FLOAT64)
    for tensor in probe.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(arguments.probe)


if __name__ == "__main__":
    main()
