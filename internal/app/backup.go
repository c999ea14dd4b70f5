package app

// restoringName is the folder, in the data folder, in which a restore collects
// what it then moves to its place.
const restoringName = ".restoring"
