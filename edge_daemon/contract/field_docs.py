"""What the fields of a model mean: the docstrings that follow them in its source."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap

from pydantic import BaseModel


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Docstrings that follow the fields of a model, by the name the field has on the wire."""
    docs: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls is BaseModel or not issubclass(cls, BaseModel):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        statements = definition.body if isinstance(definition, ast.ClassDef) else []
        for field, after in itertools.pairwise(statements):
            match field, after:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    docs[model.model_fields[name].alias or name] = one_line(text)
    return docs


def one_line(text: str) -> str:
    """Without line breaks, and code as Markdown has it."""
    return " ".join(text.replace("``", "`").split())
