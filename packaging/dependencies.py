"""What the program is made of, by cargo's own word: a bill of materials in CycloneDX's form, and the licences.

    python3 packaging/dependencies.py TARGET SBOM.json LICENCES.txt
"""
import json
import os
import re
import subprocess
import sys

PROGRAM = "consentinel"


def metadata(target):
    words = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)


def linked(found):
    """The packages that are linked into the program: not what builds or tests it. With whom each of them needs."""
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    [root] = [package["id"] for package in found["packages"] if package["name"] == PROGRAM]
    needs, waiting = {}, [root]
    while waiting:
        one = waiting.pop()
        if one in needs:
            continue
        deps = nodes[one]["deps"]
        needs[one] = sorted(dep["pkg"] for dep in deps if any(kind["kind"] is None for kind in dep["dep_kinds"]))
        waiting.extend(needs[one])
    return root, needs


def checksums():
    """Of Cargo.lock: by name and version."""
    with open("Cargo.lock", encoding="utf-8") as file:
        blocks = file.read().split("[[package]]")
    found = {}
    for block in blocks:
        fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.MULTILINE))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, sums):
    is_program = package["name"] == PROGRAM
    written = {
        "type": "application" if is_program else "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package.get("license"):
        # An older way to write OR.
        written["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package.get("description"):
        written["description"] = " ".join(package["description"].split())
    sum_of = sums.get((package["name"], package["version"]))
    if sum_of:
        written["hashes"] = [{"alg": "SHA-256", "content": sum_of}]
    return written


def bill(packages, root, needs, sums):
    others = sorted((packages[one] for one in needs if one != root), key=lambda one: (one["name"], one["version"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], sums)},
        "components": [component(one, sums) for one in others],
        "dependencies": [
            {"ref": reference(packages[one]), "dependsOn": sorted(reference(packages[other]) for other in needs[one])}
            for one in sorted(needs, key=lambda one: reference(packages[one]))
        ],
    }


def licence_files(package):
    folder = os.path.dirname(package["manifest_path"])
    if package["source"] is None:
        # One of our own: the texts stand at the top.
        folder = os.getcwd()
    names = (name for name in os.listdir(folder) if re.match(r"(?i)(licen[cs]e|copying|notice|unlicense)", name))
    return [os.path.join(folder, name) for name in sorted(names) if os.path.isfile(os.path.join(folder, name))]


def licences(packages, needs):
    """The text of every licence once, with the packages that come under it."""
    texts, bare = {}, []
    for package in sorted((packages[one] for one in needs), key=lambda one: (one["name"], one["version"])):
        label = f"{package['name']} {package['version']} ({package.get('license') or 'no licence is named'})"
        files = licence_files(package)
        if not files:
            bare.append(label)
        for file in files:
            with open(file, encoding="utf-8", errors="replace") as opened:
                texts.setdefault(opened.read().strip(), []).append(label)
    parts = [f"{chr(10).join(labels)}\n\n{text}\n" for text, labels in sorted(texts.items(), key=lambda one: one[1])]
    if bare:
        parts.append("These come without a text of their licence; its name stands for it:\n" + "\n".join(bare) + "\n")
    return ("\n" + "=" * 80 + "\n\n").join(parts)


def main():
    target, sbom, texts = sys.argv[1:]
    found = metadata(target)
    packages = {package["id"]: package for package in found["packages"]}
    root, needs = linked(found)
    unnamed = [packages[one]["name"] for one in needs if not packages[one].get("license") and not packages[one].get("license_file")]
    if unnamed:
        sys.exit(f"dependencies: no licence is named by {', '.join(unnamed)}: look at them before this is given to anybody")
    with open(sbom, "w", encoding="utf-8") as file:
        json.dump(bill(packages, root, needs, checksums()), file, indent=1)
        file.write("\n")
    with open(texts, "w", encoding="utf-8") as file:
        file.write(licences(packages, needs))
    print(f"dependencies: {len(needs)} packages")


if __name__ == "__main__":
    main()
