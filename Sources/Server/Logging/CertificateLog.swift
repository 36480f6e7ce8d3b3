import Transport

extension Log {
    /// Says what became of reading a certificate anew, once for each listener and loop.
    func note(_ reading: CertificateReading, loop: Int) {
        let path = LogValue.text(reading.certificatePath)
        switch reading.outcome {
        case .taken: info("certificate-read", ["certificate": path, "loop": .count(loop)])
        case .takenWithoutStaple:
            warning(
                "certificate-read",
                ["certificate": path, "loop": .count(loop), "problem": "the OCSP response has expired"]
            )
        case .refused(let problem):
            error("certificate-refused", ["certificate": path, "loop": .count(loop), "problem": .text(problem)])
        }
    }
}
