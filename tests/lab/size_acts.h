// SPDX-License-Identifier: Apache-2.0
// Acts of an actor that make much of something: mounts, threads, descriptors, connections.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace lab {

using Words = std::vector<std::string>;
using Acts = std::map<std::string, std::function<std::string(const Words&)>>;

/// What an actor answers: "ok VALUE", or for -1 "error WHAT: " with errno as a sentence.
std::string result(const char* what, long value);

/// binds DIRECTORY COUNT [LENGTH]: COUNT (rounded up to hundreds) bind mounts below DIRECTORY, on directories whose
/// names have LENGTH bytes. threads COUNT: threads that sleep. openers COUNT PATH: threads that open PATH; answers when
/// all have begun. holders COUNT PATH: threads that have a descriptor table of their own with PATH open in it.
/// descriptors COUNT: so many more open files, none of them on FUSE. Answers how many it got.
/// connections DIRECTORY COUNT [silent]: FUSE mounts below DIRECTORY whose server this process is. It answers INIT,
/// where it is not to be silent, and nothing else.
void add_size_acts(Acts& acts);

}  // namespace lab
