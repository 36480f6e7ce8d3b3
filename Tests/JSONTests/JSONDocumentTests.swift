@testable import JSON
import Testing
