@echo off
rem Windows: quickstart, test and bench with the packages of nuget.org. The whole of ./run is for Linux (WSL runs it).
rem   run.cmd quickstart        a trained longcat-nano becomes ONNX and scores rows in an ML.NET pipeline
rem   run.cmd test [ARGS]       the test projects; ARGS go to dotnet test
rem   run.cmd bench [ARGS]      the benchmarks
rem The operator library comes from `./run cross win-x64` in WSL or on Linux: artifacts\native\runtimes\win-x64\native\longcat_ops.dll.
setlocal
cd /d "%~dp0"
set DOTNET_CLI_TELEMETRY_OPTOUT=1
set DOTNET_NOLOGO=1
if "%LONGCAT_PACKAGES%"=="" set LONGCAT_PACKAGES=real

where dotnet >nul 2>nul
if errorlevel 1 (
    echo error: the .NET SDK 10 is missing: https://dot.net/download 1>&2
    exit /b 1
)

set verb=%~1
if "%verb%"=="" goto help
if /i "%verb%"=="quickstart" goto known
if /i "%verb%"=="test" goto known
if /i "%verb%"=="bench" goto known
:help
echo usage: run.cmd quickstart ^| test ^| bench
if "%verb%"=="help" exit /b 0
exit /b 2

:known
if not exist "artifacts\native\runtimes\win-x64\native\longcat_ops.dll" (
    echo error: artifacts\native\runtimes\win-x64\native\longcat_ops.dll is missing: run ./run cross win-x64 in WSL or on Linux 1>&2
    exit /b 1
)
rem Everything after the verb, as it was written.
set rest=
for /f "tokens=1,*" %%a in ("%*") do set rest=%%b

echo building (Release; the first time takes some minutes)
dotnet build LongCat.ML.sln -c Release -v minimal
if errorlevel 1 exit /b 1
goto %verb%
:quickstart
dotnet run --project samples\QuickStart -c Release --no-build -- %rest%
exit /b %errorlevel%
:test
dotnet test LongCat.ML.sln -c Release --no-build %rest%
exit /b %errorlevel%
:bench
dotnet run --project tests\LongCat.ML.Benchmarks -c Release --no-build -- %rest%
exit /b %errorlevel%
