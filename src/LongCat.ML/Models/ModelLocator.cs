using System.Text;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Models;

/// <summary>Finds a model by its content hash in the order that <see cref="LongCatOptions.ModelSearchPath"/> documents.</summary>
internal static class ModelLocator
{
    // A models folder has some dozens of entries; a search path that points at the root of a disk must not read it all.
    private const int MaxSubfolders = 1000;

    /// <summary>The path of <paramref name="model"/> on this machine.</summary>
    /// <param name="model">The model.</param>
    /// <param name="pipelineFolder">The folder of the pipeline's file where it is known.</param>
    /// <param name="name">What the pipeline calls it, where it has several.</param>
    /// <exception cref="ModelNotFoundException">It is in none of the places.</exception>
    public static string Find(ModelReference model, string? pipelineFolder, string? name = null)
    {
        var report = new StringBuilder();
        foreach ((string place, string path) in Places(model, pipelineFolder))
        {
            string? found = null;
            string finding = "does not exist";
            foreach (string candidate in Candidates(model.Kind, path))
            {
                try
                {
                    string hash = ModelReference.HashOf(model.Kind, candidate);
                    if (hash == model.ContentHash)
                    {
                        found = candidate;
                        break;
                    }

                    finding = $"'{candidate}' holds another {model.What}, or this one was changed (content hash {hash})";
                }
                catch (Exception exception) when (exception is CheckpointException or AdapterException or IOException or UnauthorizedAccessException)
                {
                    finding = exception.Message;
                }
            }

            if (found is not null)
            {
                return found;
            }

            if (finding == "does not exist" && Directory.Exists(path))
            {
                finding = $"holds no {model.What}";
            }

            report.Append("\n  ").Append(place).Append(" '").Append(path).Append("': ").Append(finding);
        }

        throw new ModelNotFoundException(
            $"The {model.What} of the pipeline{(name is null ? "" : $" that is named '{name}'")} (content hash {model.ContentHash}) was not found. Places tried, in order:{report}\n"
            + $"Copy it to one of them, or name its folder in {nameof(LongCatOptions)}.{nameof(LongCatOptions.ModelSearchPath)} or in the environment variable {LongCatOptions.ModelsVariable}.");
    }

    private static IEnumerable<(string Place, string Path)> Places(ModelReference model, string? pipelineFolder)
    {
        foreach (string path in LongCatOptions.ModelSearchPath)
        {
            yield return ("LongCatOptions.ModelSearchPath", path);
        }

        string variable = Environment.GetEnvironmentVariable(LongCatOptions.ModelsVariable) ?? "";
        foreach (string path in variable.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            yield return ($"environment variable {LongCatOptions.ModelsVariable}", path);
        }

        yield return ("path stored with the pipeline", model.Path);
        if (pipelineFolder is not null)
        {
            yield return ("folder of the pipeline's file", pipelineFolder);
        }

        yield return ("application folder", AppContext.BaseDirectory);
    }

    private static IEnumerable<string> Candidates(ModelKind kind, string path)
    {
        string marker = ModelReference.MarkerOf(kind);
        if (kind == ModelKind.Tokenizer && File.Exists(path))
        {
            yield return path;
        }

        if (!Directory.Exists(path))
        {
            yield break;
        }

        if (File.Exists(Path.Combine(path, marker)))
        {
            yield return path;
        }

        var options = new EnumerationOptions { IgnoreInaccessible = true };
        foreach (string folder in Directory.EnumerateDirectories(path, "*", options).Take(MaxSubfolders).Order(StringComparer.Ordinal))
        {
            if (File.Exists(Path.Combine(folder, marker)))
            {
                yield return folder;
            }
        }
    }
}
