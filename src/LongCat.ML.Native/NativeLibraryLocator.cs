using System.Runtime.InteropServices;

namespace LongCat.ML.Native;

/// <summary>
/// Finds the operator library of the domain <c>longcat</c>, to be given to
/// <c>SessionOptions.RegisterCustomOpLibraryV2</c> of ONNX Runtime.
/// </summary>
/// <remarks>
/// The package has the library for <c>linux-x64</c>, <c>win-x64</c> and <c>linux-arm64</c>; a build from source has the one of its own system.
/// It holds the kernels as plain loops and vectorised (AVX2 and AVX-512 on x86-64), chosen by the processor when a session is created.
/// The environment variable <c>LONGCAT_KERNEL</c> (<c>reference</c>, <c>avx2</c> or <c>avx512</c>), set before the process starts, forces one;
/// an unknown or unsupported name fails the registration. All members are safe for any number of threads.
/// </remarks>
public static class NativeLibraryLocator
{
    /// <summary>The file name of the operator library on this system: <c>longcat_ops.dll</c> on Windows, <c>liblongcat_ops.so</c> elsewhere.</summary>
    public static string FileName { get; } = OperatingSystem.IsWindows() ? "longcat_ops.dll" : "liblongcat_ops.so";

    // The portable identifier, as packages name their folders: the process' own may be that of a distribution.
    private static string RuntimeIdentifier { get; } =
        (OperatingSystem.IsWindows() ? "win-" : OperatingSystem.IsLinux() ? "linux-" : OperatingSystem.IsMacOS() ? "osx-" : "unknown-") +
        RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant();

    private static readonly Lazy<string> s_path = new(() => Find(Folders(), RuntimeIdentifier, FileName, File.Exists));

    /// <summary>Returns the full path of the operator library.</summary>
    /// <returns>An absolute path of an existing file.</returns>
    /// <exception cref="DllNotFoundException">The library lies in none of the places where it can be; the message lists them.</exception>
    public static string Find() => s_path.Value;

    internal static string Find(IEnumerable<string> folders, string runtimeIdentifier, string fileName, Func<string, bool> exists)
    {
        List<string> tried = [];
        foreach (string folder in folders)
        {
            foreach (string relative in new[] { Path.Combine("runtimes", runtimeIdentifier, "native", fileName), fileName })
            {
                string path = Path.GetFullPath(Path.Combine(folder, relative));
                if (tried.Contains(path))
                {
                    continue;
                }

                if (exists(path))
                {
                    return path;
                }

                tried.Add(path);
            }
        }

        throw new DllNotFoundException(
            $"{fileName} was not found. It comes with the package LongCat.ML.Native, which has it for linux-x64, win-x64 and linux-arm64 " +
            $"(this process is {runtimeIdentifier}), and from a build of the sources. Tried:{Environment.NewLine}  " +
            string.Join(Environment.NewLine + "  ", tried));
    }

    private static IEnumerable<string> Folders()
    {
        yield return AppContext.BaseDirectory;
        string assembly = typeof(NativeLibraryLocator).Assembly.Location;
        if (assembly.Length > 0)
        {
            yield return Path.GetDirectoryName(assembly)!;
        }

        // Where the host looks for native libraries of packages.
        if (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") is string search)
        {
            foreach (string folder in search.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
            {
                yield return folder;
            }
        }
    }
}
