using System.Runtime.InteropServices;

namespace LongCat.ML.Native;

/// <summary>
/// Finds the operator library of the domain <c>longcat</c>, to be given to
/// <c>SessionOptions.RegisterCustomOpLibraryV2</c> of ONNX Runtime.
/// </summary>
/// <remarks>
/// The library holds the kernels for x86-64 processors: plain loops, AVX2 and AVX-512, chosen by the processor when a session is created.
/// The environment variable <c>LONGCAT_KERNEL</c> (<c>reference</c>, <c>avx2</c> or <c>avx512</c>), set before the process starts, forces one;
/// an unknown or unsupported name fails the registration. All members are safe for any number of threads.
/// </remarks>
public static class NativeLibraryLocator
{
    /// <summary>The file name of the operator library.</summary>
    public const string FileName = "liblongcat_ops.so";

    private const string RuntimeIdentifier = "linux-x64";

    private static readonly Lazy<string> s_path = new(() => Find(Folders(), File.Exists));

    /// <summary>Returns the full path of the operator library.</summary>
    /// <returns>An absolute path of an existing file.</returns>
    /// <exception cref="DllNotFoundException">The library lies in none of the places where it can be; the message lists them.</exception>
    public static string Find() => s_path.Value;

    internal static string Find(IEnumerable<string> folders, Func<string, bool> exists)
    {
        List<string> tried = [];
        foreach (string folder in folders)
        {
            foreach (string relative in new[] { Path.Combine("runtimes", RuntimeIdentifier, "native", FileName), FileName })
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
            $"{FileName} was not found. It comes with the package LongCat.ML.Native for {RuntimeIdentifier} " +
            $"(this process runs on {RuntimeInformation.RuntimeIdentifier}). Tried:{Environment.NewLine}  " +
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
