from trialsim.analysis.decision_words import Atom, DecisionError, Rule, parse  # noqa: F401
