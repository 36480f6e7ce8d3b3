import type { Vitals } from "../feed/link.js";
import { latency } from "../fmt/numbers.js";
import { badgeText, explanation } from "./badge.js";
import { element, setData, setText } from "./elements.js";

const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** The badge and the status bar. */
export class VitalsBar {
    private readonly badge = element("badge", HTMLElement);
    private readonly badgeLabel = element("badge-label", HTMLElement);
    private readonly notice = element("notice", HTMLElement);
    private readonly latency = element("latency", HTMLElement);
    private readonly rate = element("rate", HTMLElement);
    private readonly roundTrip = element("round-trip", HTMLElement);
    private readonly gaps = element("gaps", HTMLElement);
    private readonly instruments = element("instruments", HTMLElement);
    private readonly hub = element("hub", HTMLElement);

    paint(vitals: Vitals, shown: number): void {
        setData(document.body, "state", vitals.state);
        setText(this.badgeLabel, badgeText(vitals));
        const why = explanation(vitals);
        setText(this.notice, why);
        if (this.badge.title !== why) this.badge.title = why;
        setText(this.latency, latency(vitals.latencyMs));
        this.latency.title = `Slowest of the last second: ${latency(vitals.latencyWorstMs)}`;
        setText(this.rate, count.format(vitals.pushesPerSecond));
        this.rate.title = `In ${count.format(vitals.framesPerSecond)} messages a second`;
        setText(this.roundTrip, latency(vitals.roundTripMs));
        this.roundTrip.title = `The hub's clock is ${Math.round(vitals.clockOffsetMs)} ms ahead`;
        setText(this.gaps, count.format(vitals.gaps));
        setText(this.instruments, count.format(shown));
        setText(this.hub, vitals.hubVersion);
    }
}
