using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.LlamaCpp;

/// <summary>The prebuilt libraries of llama.cpp, out of an npm package of one known version and content.</summary>
internal static class LlamaCppPackage
{
    private const string Name = "@node-llama-cpp/linux-x64";
    private const string Version = "3.22.1";
    private const string Sha512 = "5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==";

    /// <summary>Fetches the package below artifacts/npm, once.</summary>
    /// <param name="folder">Where libllama lies.</param>
    /// <returns>Why there is none, or null.</returns>
    public static string? Find(out string folder)
    {
        string package = Path.Combine(BenchmarkModels.Root, "artifacts", "npm", "node-llama-cpp-linux-x64", Version);
        folder = Path.Combine(package, "package", "bins", "linux-x64");
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
        {
            return $"{Name} is for Linux on x86-64, this is {RuntimeInformation.RuntimeIdentifier}";
        }

        if (Directory.Exists(folder))
        {
            return null;
        }

        // The script that fetches ONNX Runtime for the stand-ins fetches any package.
        string script = Path.Combine(BenchmarkModels.Root, "tests", "standins", "onnxruntime-npm.sh");
        try
        {
            Console.Error.WriteLine($"fetching {Name}@{Version} from npm (11 MB, once)");
            using Process process = Process.Start(new ProcessStartInfo("bash", [script, Name, Version, Sha512, package, "package/*"]) { RedirectStandardError = true })!;
            string said = process.StandardError.ReadToEnd().Trim();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : said.Split('\n')[^1];
        }
        catch (Win32Exception error)
        {
            return $"bash: {error.Message}";
        }
    }
}
