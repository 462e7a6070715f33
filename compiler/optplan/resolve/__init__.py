"""Config and network to plan: the middle of the compiler.

A target (or a reader) gives a `Network`, the front end a `Config`; `resolve` lays the rules over the parameters and
returns a `Plan`, which is data.  Nothing here knows a framework, and nothing here reads text.

    network   what is known of a network, in columns          paths     name patterns as one automaton
    select    filters x parameters, as bit masks              value     expressions to numbers
    horizon   how long the run is                             schedule  policies to curves
    curve     a resolved policy, value(t)                     level     what a policy's value is at one moment
    shape     what all curves have in common                  stairs    curves that fall at certain times
    compound  curves that run at once                         decays    curves that fall without steps
    cycles    curves that come back                           plateau   a level that waits for a metric
    watches   what has been reported to these in a run        layout    how long the parts of a policy last
    phases    phases with formulas of their own to curves
    structure what a policy is put together from              joining   curves to curves: one after, over, into another
    cascade   rules x one kind of parameter                   ties      rules that disagree about a tied one
    unmatched why a filter matches nothing                    static    what can be said without a network
    plan      the result: groups, history                     record    the plan as JSON, read strictly
    groups    all of it: config x network -> plan
"""
