/// Describes the configuration as a JSON Schema (draft 2020-12), for editors.
package enum ConfigurationSchema {
    package static func text() -> String {
        var members = [
            ("$schema", JSON5Value.text("https://json-schema.org/draft/2020-12/schema")),
            ("title", .text("market-hub configuration")),
        ]
        members += schema(of: Configuration.self, defaults: Configuration.encodedDefaults())
        return JSONText.indented(object(members)) + "\n"
    }

    private static func schema(
        of section: any ConfigurationSection.Type,
        defaults: JSON5Node?
    ) -> [(String, JSON5Value)] {
        let properties = section.keys.map { key in
            let normal = defaults?[key.name]
            var members: [(String, JSON5Value)] = [("description", .text(key.documentation))]
            members += schema(of: key.kind, defaults: normal)
            if case .section = key.kind {} else if let normal { members.append(("default", normal.value)) }
            return (key.name, object(members))
        }
        return [
            ("type", .text("object")), ("additionalProperties", .flag(false)), ("properties", object(properties)),
        ]
    }

    private static func schema(of kind: ConfigurationKey.Kind, defaults: JSON5Node?) -> [(String, JSON5Value)] {
        switch kind {
        case .flag: [("type", .text("boolean"))]
        case .integer(let range):
            [
                ("type", .text("integer")), ("minimum", .integer(Int64(range.lowerBound))),
                ("maximum", .integer(Int64(range.upperBound))),
            ]
        case .number(let range):
            [
                ("type", .text("number")), ("minimum", .number(range.lowerBound)),
                ("maximum", .number(range.upperBound)),
            ]
        case .text, .path: [("type", .text("string"))]
        case .choice(let choices): [("type", .text("string")), ("enum", list(choices.map(JSON5Value.text)))]
        case .texts(let most), .paths(let most):
            [
                ("type", .text("array")), ("maxItems", .integer(Int64(most))),
                ("items", object([("type", .text("string"))])),
            ]
        case .objects(let section, let most):
            [
                ("type", .text("array")), ("maxItems", .integer(Int64(most))),
                ("items", object(schema(of: section, defaults: section.encodedDefaults()))),
            ]
        case .section(let section): schema(of: section, defaults: defaults)
        }
    }

    private static let start = TextPosition(line: 1, column: 1)

    private static func object(_ members: [(String, JSON5Value)]) -> JSON5Value {
        .object(members.map { JSON5Member(key: $0, keyPosition: start, node: JSON5Node($1, at: start)) })
    }

    private static func list(_ values: [JSON5Value]) -> JSON5Value {
        .list(values.map { JSON5Node($0, at: start) })
    }
}
