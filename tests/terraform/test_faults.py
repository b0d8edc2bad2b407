"""A test of the tests: each fault in one form alone is noticed."""

import pytest
from agreement import TEMPLATE, disagreements
from faults import FAULTS
from hcl import HclError
from test_agreement import VARIANTS, variables_of
from test_agreement import test_parameters_and_variables_are_the_same as same_inputs
from translate import texts




def noticed(monkeypatch, template, module):
    """What says so: a line, or the error of what cannot be worked out any more."""
    try:
        for parameters in VARIANTS.values():
            found = disagreements(template, module, "demo", parameters, variables_of(parameters))
            if found:
                return found[0]
        monkeypatch.setattr("test_agreement.texts", lambda: module)
        same_inputs()
    except (AssertionError, HclError) as error:
        return repr(error)
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_a_fault_in_one_form_is_noticed(fault, monkeypatch):
    _, file, there, instead = fault
    template, module = TEMPLATE.read_text(), texts()
    text = template if file == TEMPLATE.name else module[file]
    assert text.count(there) == 1, f"{file} has this {text.count(there)} times: {there}"
    if file == TEMPLATE.name:
        template = text.replace(there, instead)
    else:
        module[file] = text.replace(there, instead)
    assert noticed(monkeypatch, template, module)


def test_without_a_fault_nothing_is_noticed(monkeypatch):
    assert noticed(monkeypatch, TEMPLATE.read_text(), texts()) is None
