/** `auto` follows the system. */
export type Theme = "auto" | "dark" | "light";

const KEY = "market-hub.theme";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];

export function storedTheme(): Theme {
    try {
        const stored = localStorage.getItem(KEY);
        return THEMES.find((theme) => theme === stored) ?? "auto";
    } catch {
        // Storage is switched off.
        return "auto";
    }
}

export function applyTheme(theme: Theme): void {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
}

/** The theme after this one, applied and kept. */
export function nextTheme(): Theme {
    const next = THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length] ?? "auto";
    applyTheme(next);
    try {
        localStorage.setItem(KEY, next);
    } catch {
        // It holds until the page is left.
    }
    return next;
}
