/** `bestOfN` as typed on a command line: `best-of-n`. */
export const kebabCase = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
