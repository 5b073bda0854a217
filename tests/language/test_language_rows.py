"""Every row of reference 1.1 to 1.8 has a case of the differential suite (`row:`) or a test; skips where the reference is absent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.differential.casefile import read_cases

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY.parent / "shared" / "reference" / "dockerfile.md"
TESTED = {
    "1.1 `# check=`": "test_the_check_directive_has_a_place",
    "1.1 Doc comments": "test_comments_right_above_belong_to_an_instruction",
    "1.2 `${v:+w}` `${v+w}`": "test_defaults_and_alternatives",
    "1.3 history entry": "test_arg_history_shows_values_in_force_and_run_all_of_them_once",
    "1.3 scratch image with no layer": "test_image_without_a_layer_has_an_empty_list",
    "1.3 config extras": "test_config_is_of_the_platform_that_was_asked_for_whatever_the_base_is",
    "1.4 `ssh`": "test_ssh_gives_the_agents_socket",
    "1.4 `--security`": "test_security_insecure_has_all_capabilities",
    "1.4 env leak": "test_environment_is_what_was_asked_for_and_nothing_else",
    "1.5 several sources, dest without `/`": "test_several_sources_without_a_slash_overwrite_and_warn",
    "1.5 dir → new dest dir": "test_chmod_octal_and_symbolic",
    "1.5 history": "test_history_of_copy_shows_parents_chown_and_chmod_and_nothing_else",
    "1.5 COPY with URL/git source": "test_sources_elsewhere_are_for_add_only",
    "1.6 http(s) URL": "test_add_url_is_a_file_of_mode_0600_with_the_servers_time",
    "1.6 http auth": "test_1_6_http_auth_is_for_its_host",
    "1.6 git forms": "test_1_6_git_forms",
    "1.6 git fragment": "test_context_from_git_with_a_ref_and_a_subdirectory",
    "1.6 git query": "test_add_git",
    "1.6 `--keep-git-dir`": "test_add_git",
    "1.6 git defaults": "test_add_git",
    "1.8 BUILDKIT_SYNTAX": "test_arguments_of_the_builder_change_no_image",
    "1.8 BUILDKIT_INLINE_CACHE=1": "BUILDKIT_INLINE_CACHE",
    "1.8 BUILDKIT_MULTI_PLATFORM=1": "test_multi_platform_gives_an_index_even_for_one",
    "1.8 BUILDKIT_CACHE_MOUNT_NS": "test_cache_mount_namespace_is_a_part_of_the_id",
    "1.8 BUILDKIT_CONTEXT_KEEP_GIT_DIR": "test_context_from_git_with_a_ref_and_a_subdirectory",
    "1.8 BUILDKIT_SANDBOX_HOSTNAME": "test_sandbox_hostname_can_be_given",
    "1.8 BUILDKIT_DOCKERFILE_CHECK": "BUILDKIT_DOCKERFILE_CHECK",
    "1.8 BUILDKIT_BUILD_NAME": "test_arguments_of_the_builder_change_no_image",
    "1.8 BUILDKIT_SBOM_SCAN_CONTEXT / _STAGE": "test_scan_switches_reach_no_run",
    "1.8 SOURCE_DATE_EPOCH": "test_epoch_from_a_named_context_and_from_a_stage",
    "1.8 removed": "test_removed_arguments_are_refused",
}
HEADS = ("Item", "Form", "Instruction", "type", "Rule", "Name")


def rows() -> list[str]:
    """`SECTION FIRST-CELL` of every row."""
    if not REFERENCE.is_file():
        pytest.skip(f"no reference at {REFERENCE}")
    found, section = [], ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.split()[1]
        elif line.startswith("|") and not line.startswith("|---"):
            cell = re.split(r"(?<!\\)\|", line)[1].strip().replace("**", "").rstrip(" ⚠★")
            if cell not in HEADS:
                found.append(f"{section} {cell}")
    return found


def test_every_row_has_a_case_or_a_test() -> None:
    told = {case.value("row") or "" for path in (REPOSITORY / "testdata/differential").glob("*.cases") for case in read_cases(path)}
    missing = [
        row
        for row in rows()
        if row not in TESTED and not any(row == name or (name[:4] == row[:4] and name[4:] and name[4:] in row) for name in told)
    ]
    assert missing == []


def test_every_test_that_is_named_is_there() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py") if path != Path(__file__))
    assert [name for name in TESTED.values() if name not in sources] == []
