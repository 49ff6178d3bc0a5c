using System.Reflection;
using System.Runtime.InteropServices;

namespace LongCat.ML.Native;

/// <summary>
/// Finds the operator library of the domain <c>longcat</c>, to be given to
/// <c>SessionOptions.RegisterCustomOpLibraryV2</c> of ONNX Runtime.
/// </summary>
/// <remarks>
/// The package has the library for <c>linux-x64</c>, <c>win-x64</c> and <c>linux-arm64</c>; a build from source has the one of its own system.
/// It holds the kernels as plain loops and vectorised (AVX2, AVX-VNNI and AVX-512 on x86-64, NEON on 64-bit ARM), chosen by the processor when a session is created.
/// The environment variable <c>LONGCAT_KERNEL</c> (<c>reference</c>, <c>avx2</c>, <c>avxvnni</c>, <c>avx512</c>, <c>avx512bf16</c> or <c>neon</c>), set before the process starts, forces one;
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

    private static readonly Lazy<string> s_path = new(() =>
    {
        string path = Find(Folders(), RuntimeIdentifier, FileName, File.Exists);
        CheckImage(path, RuntimeIdentifier);
        CheckVersion(path, Version, NativeVersion);
        return path;
    });

    private static string Version =>
        typeof(NativeLibraryLocator).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];

    /// <summary>Returns the full path of the operator library.</summary>
    /// <returns>An absolute path of an existing file.</returns>
    /// <exception cref="DllNotFoundException">The library lies in none of the places where it can be; the message lists them. Or the one that was found
    /// is for another system or processor, cannot be loaded, or is of another version than this assembly; the message says which and what to do.</exception>
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

    // The loader of the system would say little more than that the format is invalid.
    internal static void CheckImage(string path, string runtimeIdentifier)
    {
        string image = NativeImage.Read(path).ToString();
        if (image != runtimeIdentifier)
        {
            throw new DllNotFoundException(
                $"{path} is {(image.Contains('-', StringComparison.Ordinal) ? $"for {image}" : image)}, but this process is {runtimeIdentifier}. " +
                $"Delete it and restore the package LongCat.ML.Native, which has the library for linux-x64, win-x64 and linux-arm64, or build the sources on this system.");
        }
    }

    // Operators and attributes change with the version: a library left over from another one would fail later, and less clearly.
    internal static void CheckVersion(string path, string expected, Func<string, string?> versionOf)
    {
        string? version = versionOf(path);
        if (version != expected)
        {
            throw new DllNotFoundException(
                $"{path} is {(version is null ? "not the operator library of LongCat.ML (it has no longcat_version)" : $"of version {version}")}, but LongCat.ML.Native is of version {expected}. " +
                "Delete it and build again, so that the library of this version is copied, and see that all packages of LongCat.ML have one version.");
        }
    }

    // The library stays loaded: ONNX Runtime opens the same file next.
    private static string? NativeVersion(string path)
    {
        nint library;
        try
        {
            library = NativeLibrary.Load(path);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            throw new DllNotFoundException(
                $"{path} cannot be loaded: {exception.Message} It needs the C library of the system (on Linux glibc, not musl); a damaged file is replaced by restoring the package LongCat.ML.Native.", exception);
        }

        unsafe
        {
            return NativeLibrary.TryGetExport(library, "longcat_version", out nint function)
                ? Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)function)())
                : null;
        }
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
