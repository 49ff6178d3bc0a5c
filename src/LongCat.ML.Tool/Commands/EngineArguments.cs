using System.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary>Options that every verb with an engine has.</summary>
internal static class EngineArguments
{
    public static Option<int> Threads()
    {
        Option<int> option = new("--threads") { Description = "Threads of the engine; 0 takes every core.", DefaultValueFactory = _ => 0 };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 0)
            {
                result.AddError($"--threads is {result.GetValueOrDefault<int>()}, expected 0 or more");
            }
        });
        return option;
    }
}
