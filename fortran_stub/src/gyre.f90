!> The reference ocean: gyre.exe [--help | --describe]. Reads namelist_ref (if there) and namelist_cfg in the present directory.
program gyre
   use, intrinsic :: iso_fortran_env, only: output_unit, error_unit
   use nemogcm, only: nemo_gcm
   use cplstp, only: cpl_wanted, cpl_start
   implicit none
   character(len=64) :: cl_arg
   logical :: ll_describe, ll_cpl
   integer :: icomm

   ll_describe = .false.
   if (command_argument_count() > 0) then
      call get_command_argument(1, cl_arg)
      select case (cl_arg)
      case ('-h', '--help')
         call usage(output_unit)
         stop
      case ('--describe')
         ll_describe = .true.
      case default
         write (error_unit, '(3a)') "gyre: error: there is no option '", trim(cl_arg), "'."
         call usage(error_unit)
         error stop 2
      end select
   end if
   ll_cpl = cpl_wanted()
   if (ll_describe .or. ll_cpl) then
      call cpl_start(ll_describe, icomm)
      call nemo_gcm(icomm)
   else
      call nemo_gcm()
   end if

contains

   subroutine usage(kunit)
      integer, intent(in) :: kunit
      write (kunit, '(a)') 'usage: mpirun -np N gyre.exe          run the ocean of ./namelist_cfg on N ranks', &
      &  '       gyre.exe --describe              print grid, calendar and fields as JSON, the handshake of a coupled run', &
      &  '       gyre.exe --help                  this text', '', &
      &  'reads   namelist_ref (if it is there), namelist_cfg, a restart (ln_rstart)', &
      &  'writes  ocean.output (log), run.stat, timing.output, mesh_mask.nc, <cn_exp>_*.nc; halocline.abort when it stops', &
      &  'ends    with the line "gyre: run ended well at kt = N" in ocean.output and exit code 0'
   end subroutine usage
end program gyre
