"""The expression languages: filters, values and policies as Lark grammars; `README.md` beside them says what they mean.

Data only; `optplan.frontend` reads it.
"""
