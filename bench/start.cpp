// A program that trains nothing: what it costs to include, link and start Gradus.
#include <gradus/gradus.h>

int main() { return gradus::ones({1}).defined() ? 0 : 1; }
