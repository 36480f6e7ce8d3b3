/** Finds an element of index.html, which is built together with this program. */
export function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
    const found = document.getElementById(id);
    if (!(found instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`);
    return found;
}

/** Writes only what differs: an equal write would cost a layout all the same. */
export function setText(target: HTMLElement, text: string): void {
    if (target.textContent !== text) target.textContent = text;
}

/** Sets or removes a data attribute, only when it differs. */
export function setData(target: HTMLElement, name: string, value: string): void {
    if ((target.dataset[name] ?? "") === value) return;
    if (value) target.dataset[name] = value;
    else delete target.dataset[name];
}
