/// A dialect.
struct DialectPlaceholder {}
