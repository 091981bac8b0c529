"""The configuration: a schema, a strict parser, and a compiled form that the gate reads unparsed."""
